/**
 * What happens in one run: a list of actions, each after a pause. Made by fast-check from a seed, and shrunk by it.
 * Each seed draws only a few classes of faults ("swarm testing", Groce et al. 2012): a run with everything at once hides what two of them do together.
 */
import * as fc from 'fast-check'
import type { ApiFault } from './api.ts'
import type { DiskFault } from './indexeddb.ts'
import type { WayFault } from './network.ts'
import { createRandom } from './random.ts'
import type { LocalFault } from './storage.ts'

/** One action. `tab` picks among the tabs that are open, `page` among persons and sizes their table. */
export type Action =
  | { do: 'open'; knows: boolean }
  | { do: 'track'; tab: number; count: number; size: 'small' | 'big' }
  | { do: 'identify'; tab: number; person: number; details: 'full' | 'more' | 'id' }
  | { do: 'reset'; tab: number }
  | { do: 'flush'; tab: number }
  | { do: 'hide'; tab: number }
  | { do: 'show'; tab: number }
  | { do: 'close'; tab: number }
  | { do: 'navigate'; tab: number }
  | { do: 'crash'; tab: number }
  | { do: 'freeze'; tab: number }
  | { do: 'thaw'; tab: number; isEvicted: boolean }
  | { do: 'consent'; tab: number; state: 'granted' | 'pending' | 'denied' }
  | { do: 'way'; fault: WayFault; chance: number; forMs: number }
  | { do: 'offline'; forMs: number }
  | { do: 'api'; fault: ApiFault; chance: number; forMs: number }
  | { do: 'relay'; isCrash: boolean }
  | { do: 'disk'; fault: DiskFault; chance: number; forMs: number }
  | { do: 'disconnect'; withEvent: boolean }
  | { do: 'local'; fault: LocalFault; forMs: number }
  | { do: 'cookies'; forMs: number }
  | { do: 'clear' }
  | { do: 'delete database' }
  | { do: 'kill' }
  | { do: 'clock'; byMs: number }
  | { do: 'old browser' }
  | { do: 'foreign'; bytes: number; forMs: number }

export interface Step {
  afterMs: number
  action: Action
}

export interface Scenario {
  /** Seeds everything that is not in the list: delays, ids, what a request meets. */
  seed: number
  steps: Step[]
  /** The relay's keys, newest first. Default: one. */
  keys?: readonly string[]
  /** What the tag of every page says of consent until the visitor has decided. Default: nothing, which is `granted`. */
  consent?: 'pending'
}

const tab = fc.nat(3)
const chance = fc.constantFrom(0.3, 0.6, 1, 1)
const forMs = fc.constantFrom(300, 3_000, 12_000, 40_000, 120_000)

/** What visitors do in every run. */
const visits: fc.WeightedArbitrary<Action>[] = [
  { weight: 2, arbitrary: fc.record({ do: fc.constant('open'), knows: fc.boolean() }) },
  {
    weight: 9,
    arbitrary: fc.record({
      do: fc.constant('track'),
      tab,
      count: fc.constantFrom(1, 1, 1, 1, 2, 2, 3, 5, 8),
      size: fc.constant('small'),
    }),
  },
  // Over one batch by number, and over one by bytes.
  { weight: 1, arbitrary: fc.record({ do: fc.constant('track'), tab, count: fc.constantFrom(25, 45), size: fc.constant('small') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('track'), tab, count: fc.constantFrom(1, 4, 9), size: fc.constant('big') }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('identify'), tab, person: fc.nat(2), details: fc.constantFrom('full', 'full', 'more') }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reset'), tab }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('flush'), tab }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('hide'), tab }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('show'), tab }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('close'), tab }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('navigate'), tab }) },
]

const table = <Value extends Action>(arbitrary: fc.Arbitrary<Value>, weight = 3): fc.WeightedArbitrary<Action>[] => [{ weight, arbitrary }]

/** Every class of faults by its name. */
export const classes: Record<string, fc.WeightedArbitrary<Action>[]> = {
  crash: table(fc.record({ do: fc.constant('crash'), tab })),
  freeze: [
    { weight: 3, arbitrary: fc.record({ do: fc.constant('freeze'), tab }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('thaw'), tab, isEvicted: fc.constantFrom(false, false, false, true) }) },
  ],
  loss: table(
    fc.record({
      do: fc.constant('way'),
      fault: fc.constantFrom('lost on the way', 'swallowed', 'answer lost', 'answer never comes', 'answer cut off'),
      chance,
      forMs,
    }),
  ),
  delay: table(fc.record({ do: fc.constant('way'), fault: fc.constantFrom('late on the way', 'late answer', 'sent twice'), chance, forMs })),
  proxy: table(
    fc.record({
      do: fc.constant('way'),
      fault: fc.constantFrom('proxy says 500', 'proxy says 429', 'proxy says 413', 'proxy says 404', 'portal says 200'),
      chance,
      forMs,
    }),
  ),
  offline: table(fc.record({ do: fc.constant('offline'), forMs })),
  api: table(
    fc.record({
      do: fc.constant('api'),
      fault: fc.constantFrom('fails', 'throttles', 'refuses', 'locks out', 'hangs before storing', 'resets before storing', 'answers html', 'is slow'),
      chance,
      forMs,
    }),
  ),
  answers: table(fc.record({ do: fc.constant('api'), fault: fc.constantFrom('hangs after storing', 'resets after storing'), chance, forMs })),
  relay: table(fc.record({ do: fc.constant('relay'), isCrash: fc.boolean() })),
  disk: table(
    fc.record({
      do: fc.constant('disk'),
      fault: fc.constantFrom('open never settles', 'open fails', 'transaction() throws', 'requests fail', 'quota', 'commit aborts', 'stalled', 'slow', 'denied'),
      chance,
      forMs,
    }),
  ),
  disconnect: table(fc.record({ do: fc.constant('disconnect'), withEvent: fc.boolean() })),
  local: table(fc.record({ do: fc.constant('local'), fault: fc.constantFrom('denied', 'quota'), forMs }), 2),
  cookies: table(fc.record({ do: fc.constant('cookies'), forMs }), 1),
  clear: table(fc.record({ do: fc.constantFrom('clear', 'delete database') }), 1),
  kill: table(fc.record({ do: fc.constant('kill') }), 2),
  clock: table(fc.record({ do: fc.constant('clock'), byMs: fc.constantFrom(-3_600_000, 3_600_000, -60_000, 60_000, -86_400_000, 86_400_000) }), 2),
  consent: table(fc.record({ do: fc.constant('consent'), tab, state: fc.constantFrom('granted', 'pending', 'denied', 'granted') })),
  contacts: table(fc.record({ do: fc.constant('identify'), tab, person: fc.nat(2), details: fc.constantFrom('id', 'id', 'full') })),
  beacons: table(fc.record({ do: fc.constant('old browser') })),
  foreign: table(fc.record({ do: fc.constant('foreign'), bytes: fc.constantFrom(20_000, 55_000, 65_000), forMs }), 2),
}

/** Classes at once in one run. */
const AT_ONCE = 4

const pause = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 60 }) },
  { weight: 4, arbitrary: fc.integer({ min: 100, max: 3_000 }) },
  { weight: 2, arbitrary: fc.integer({ min: 4_000, max: 30_000 }) },
)

/** The scenarios of one seed; `names` are the classes to draw from. */
export const scenarios = (seed: number, names: readonly string[]): fc.Arbitrary<Scenario> => {
  const draw = createRandom(seed).fork('classes')
  const left = [...names]
  const drawn = Array.from({ length: draw.int(0, Math.min(AT_ONCE, left.length)) }, () => left.splice(draw.int(0, left.length - 1), 1)[0] ?? '')
  const action = fc.oneof(...visits, ...drawn.flatMap((name) => classes[name] ?? []))
  const steps = fc.array(fc.record({ afterMs: pause, action }), { minLength: 4, maxLength: 30, size: 'max' })
  const isAsked = drawn.includes('consent') && draw.chance(0.5)
  return steps.map((list) => ({ seed, steps: list, ...(isAsked && { consent: 'pending' }) }))
}

/** One line for a person to read. */
export const tell = (action: Action): string =>
  Object.entries(action)
    .map(([key, value]) => (key === 'do' ? value : `${key} ${value}`))
    .join(', ')
