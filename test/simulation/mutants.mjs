// @ts-check
/** Deliberate breakages: each must be noticed by some seed, or by a regression that a seed once was. */

/** @type {import('../support/breaking.mjs').Mutant[]} */
export const mutants = [
  {
    name: 'a new event has no lease',
    file: 'src/holding.ts',
    edits: [['const due = Date.now() + LEASE_MS\n    for (const record of ours(Infinity)) if (leftMs(record.due) <= REQUEST_MS) held', 'const due = 0\n    for (const record of ours(Infinity)) held']],
  },
  {
    name: 'a claim is not written down',
    file: 'src/holding.ts',
    edits: [['{ ...kept, due: at + LEASE_MS } : kept', 'kept : kept']],
  },
  {
    name: 'ack cookies are not read',
    file: 'src/holding.ts',
    edits: [['const at = Date.now()\n    const cookies = page.cookies()', "const at = Date.now()\n    const cookies = ''"]],
  },
  {
    name: 'a batch does not ask for an ack',
    file: 'src/sender.ts',
    edits: [['ack: page.hasCookies, ', '']],
  },
  {
    name: 'all that was sent is deleted, not what was stored',
    file: 'src/flusher.ts',
    edits: [["result?.outcome === 'stored' ? result.outcome : result", "result?.outcome !== 'rejected' ? 'stored' : result"]],
  },
  {
    name: 'the exit budget is not looked at',
    file: 'src/flusher.ts',
    edits: [['holding.take(MAX_EVENTS, room())', 'holding.take(MAX_EVENTS, FULL_BYTES)']],
  },
  {
    name: 'keepalive is asked for over the budget',
    file: 'src/sender.ts',
    edits: [['keepalive: keepalive && room >= FULL_BYTES - MAX_BODY_BYTES', 'keepalive']],
  },
  {
    name: 'no exit spill',
    file: 'src/flusher.ts',
    edits: [['    holding.spill()\n', '']],
  },
  {
    name: 'a spill is thrown away unread',
    file: 'src/holding.ts',
    edits: [["if (!('event' in Object(one))) continue\n      everGiven", "if (spills) continue\n      everGiven"]],
  },
  {
    name: 'track() writes nothing',
    file: 'src/holding.ts',
    edits: [['(page.isHidden() ? setTimeout : queueMicrotask)(write)', 'void write']],
  },
  {
    name: 'the newest goes first',
    file: 'src/holding.ts',
    edits: [['      .sort()\n      .map(([, record]) => record)', '      .sort()\n      .reverse()\n      .map(([, record]) => record)']],
  },
  {
    name: 'a Retry-After is not kept',
    file: 'src/flusher.ts',
    edits: [['const orderedMs = Math.max(leftMs(orderedUntil), waitMs)', 'const orderedMs = 0 * waitMs']],
  },
  {
    name: 'what is on its way is sent again',
    file: 'src/holding.ts',
    edits: [
      ['            !flying.has(record.event.id) &&\n', ''],
    ],
  },
  {
    name: 'what is final may come back',
    file: 'src/holding.ts',
    edits: [
      ['if (isKnown || done.has(event.id)) {', 'if (isKnown) {'],
      ['const kept = done.has(id) ? undefined : review(record)', 'const kept = review(record)'],
      ['if (!done.has(record.event.id) && !held.has', 'if (!held.has'],
    ],
  },
  {
    name: 'a due far in the future counts',
    file: 'src/holding.ts',
    edits: [['ms > 0 && ms <= LONGEST_WAIT_MS ? ms : 0', 'ms > 0 ? ms : 0']],
  },
  {
    name: 'a logout leaves events without a contact',
    file: 'src/contact.ts',
    edits: [['!event.contact && epoch < visitor.epoch', 'false']],
  },
  {
    name: 'a denial is not left to the next page',
    file: 'src/holding.ts',
    edits: [
      ['if (identity.deniedAt) page.write', 'if (identity.deniedAt < 0) page.write'],
    ],
  },
  {
    name: 'consent is asked for before the disk, and not after it',
    file: 'src/flusher.ts',
    edits: [['if (page.isGone() || !maySend() ||', 'if (page.isGone() ||']],
  },
  {
    name: 'without consent what is on disk is held for ever',
    file: 'src/holding.ts',
    edits: [
      ['if (isWritten === false) [leased', ';[leased'],
    ],
  },
  {
    name: 'a spill in its lease is sent where there is no disk',
    file: 'src/holding.ts',
    edits: [['.filter((key) => stored || [page.read(key)].flat().every(isFree))', '.filter((key) => key && isFree)']],
  },
  {
    name: 'a tab does not hear of another one’s login',
    file: 'src/contact.ts',
    edits: [['    adopt(page.read(KEY))\n', '']],
  },
  {
    name: 'the relay remembers nothing',
    file: 'src/relay/dedupe.ts',
    edits: [["if (claim === 'done') return stored", '']],
  },
  {
    name: 'the relay delivers what is being delivered',
    file: 'src/relay/dedupe.ts',
    edits: [["if (claim === 'busy') return retry('in_flight')", '']],
  },
  {
    name: 'a decision on consent is forgotten with its page',
    file: 'src/consent.ts',
    edits: [['return recallConsent(page) ?? (', 'return (']],
  },
  {
    name: 'a refusal in another tab is never heard of',
    file: 'src/pristo.ts',
    edits: [["recallConsent(page) === 'denied'", 'false']],
  },
  {
    name: 'consent is asked for after the page has been read',
    file: 'src/pristo.ts',
    edits: [["consent !== 'pending'", 'true']],
  },
  {
    name: 'the relay goes on after an event that must wait',
    file: 'src/relay/deliver.ts',
    edits: [["isHeld = outcome.outcome === 'retry'", 'isHeld = false']],
  },
  {
    name: 'the relay takes any answer for a yes',
    file: 'src/relay/upstream.ts',
    edits: [["if (verdict !== 'rejected') return retry(verdict, retryAfterS())", "if (verdict !== 'rejected') return stored"]],
  },
]
