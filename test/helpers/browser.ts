import { access, constants } from 'node:fs/promises'
import { chromium, type Browser } from 'playwright-core'

const places = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
  '/usr/bin/microsoft-edge',
  '/snap/bin/chromium',
  '/opt/google/chrome/chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  'C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe',
]

// No sandbox: it cannot start in most containers, and these pages are our own. No outside requests.
const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** A headless Chromium: the one named by CHROMIUM_PATH, an installed one, or the one inside an npm package. */
export async function launchBrowser(): Promise<Browser> {
  const executablePath = process.env['CHROMIUM_PATH'] ?? (await installed()) ?? (await packaged())
  if (executablePath === undefined) {
    throw new Error(
      'No Chromium found for the browser tests: install one (on Debian: apt-get install chromium), or set CHROMIUM_PATH to its executable.',
    )
  }
  return chromium.launch({ executablePath, args: flags })
}

async function installed(): Promise<string | undefined> {
  for (const place of places) {
    try {
      await access(place, constants.X_OK)
      return place
    } catch {
      // Not here; look further.
    }
  }
  return undefined
}

/** @sparticuz/chromium is built for Linux on x64. It unpacks its own libraries only where it sees this variable. */
async function packaged(): Promise<string | undefined> {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined
  process.env['AWS_LAMBDA_JS_RUNTIME'] ??= 'nodejs20.x'
  const { default: bundled } = await import('@sparticuz/chromium')
  return bundled.executablePath()
}
