/** The relays that are fuzzed: one table of settings; a row more is a line. */
import type { Contact, DedupeStore, RelayOptions } from '../../src/relay/index.ts'
import { KEY, OLD_KEY } from '../relay/harness.ts'
import type { Rules } from './judge.ts'
import { PARTNER } from './samples.ts'
import { CANARY_EMAIL, PHONE, SECRETS } from './values.ts'

/** Settings, and what they mean for a request. */
export interface Row {
  options: Partial<RelayOptions>
  rules?: Partial<Rules>
  /** Whose every event is: the page's own word, a session's contact, nobody's, or not to be known. Default `page`. */
  claimant?: 'page' | 'nobody' | 'unknown' | Contact
  /** Statuses by which this relay may refuse a whole request besides. */
  mayAnswer?: number[]
  /** Codes by which it may reject a valid event by itself. */
  mayReject?: string[]
}

const member: Contact = { id: 'u_42', email: CANARY_EMAIL, phone: PHONE }
const betray = (): never => {
  throw new Error(`no row for ${SECRETS.join(' ')}`)
}

const brokenStore: DedupeStore = { claim: betray, keep: () => Promise.reject(new Error(SECRETS.join())), release: betray }

export const rows: Record<string, Row> = {
  'that believes the page': { options: {} },
  'with two keys': { options: { apiKey: [KEY, OLD_KEY] } },
  'for a partner and for scripts': { options: { allowedOrigins: [PARTNER], allowNonBrowser: true }, rules: { allowedOrigins: [PARTNER], allowNonBrowser: true } },
  'with a session': { options: { identity: { resolve: () => Promise.resolve(member) } }, claimant: member },
  'where nobody is logged in': { options: { identity: { resolve: () => null } }, claimant: 'nobody' },
  'whose session fails': { options: { identity: { resolve: betray } }, claimant: 'unknown' },
  'whose store fails': { options: { store: brokenStore } },
  'that limits': {
    options: { rateLimit: { address: { requests: 8, perS: 60 }, contact: { requests: 2, perS: 60 }, overall: { requests: 60, perS: 600 } } },
    mayAnswer: [429],
  },
  'whose limiters fail': { options: { rateLimit: { address: { limit: betray }, contact: { limit: () => Promise.reject(new Error(SECRETS.join())) }, overall: { limit: betray } } } },
  'that wants neither bots nor other types': { options: { bots: 'drop', allowedTypes: ['purchase', 'signup'] }, mayReject: ['bot', 'type_not_allowed'] },
  'whose hooks fail': { options: { onOutcome: betray, onDrop: betray, onRequest: () => Promise.reject(new Error(SECRETS.join())) } },
  'whose onError fails': { options: { apiKey: [KEY, OLD_KEY], onError: betray } },
}
