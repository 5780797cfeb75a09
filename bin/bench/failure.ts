/** Why a measurement could not be made, in words for whoever started it, and what to do about it. */
export class Failure extends Error {
  readonly advice: string

  constructor(reason: string, advice = '') {
    super(reason)
    this.name = 'Failure'
    this.advice = advice
  }
}
