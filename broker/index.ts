/** The public API of stomp-broker. */
export { createBroker, VERSION, type Addresses, type Broker, type CloseOptions } from './broker.ts'
export { OptionsError, type BrokerOptions, type Settings } from './options.ts'
export type { QueueInfo } from './engine/engine.ts'
export { StoreError } from './engine/folder.ts'
export type { Stats } from './model/stats.ts'
export type { AppHandler, AppMessage, AppRule, AppRules } from './core/app.ts'
