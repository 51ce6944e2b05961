// @ts-check
/** Deliberate breakages of the relay: each must break a rule for some request. */

/** @type {import('../support/breaking.mjs').Mutant[]} */
export const mutants = [
  {
    name: 'the schema is not strict',
    file: 'src/relay/schema.ts',
    edits: [['z.strictObject(eventShape', 'z.object(eventShape']],
  },
  {
    name: 'rejected events are left out of the results',
    file: 'src/relay/answer.ts',
    edits: [['results: settled.map(toResult)', "results: settled.map(toResult).filter(({ outcome }) => outcome !== 'rejected')"]],
  },
  {
    name: "the API's message is repeated as it is",
    file: 'src/relay/upstream.ts',
    edits: [['redact(message, secrets).slice', 'message.slice']],
  },
  {
    name: 'the origin is not looked at',
    file: 'src/relay/index.ts',
    edits: [["if (sender.kind === 'foreign') return", "if (sender.kind === 'foreign' && settings.keys.length === 0) return"]],
  },
  {
    name: 'the bytes of a body are not counted',
    file: 'src/relay/bytes.ts',
    edits: [
      ['if (bytes + value.byteLength > maxBytes) {', 'if (bytes < 0) {'],
      ['held = new Uint8Array(maxBytes)', 'held = new Uint8Array(1_000_000)'],
    ],
  },
  {
    name: 'the first byte that is no UTF-8 passes',
    file: 'src/relay/bytes.ts',
    edits: [['fatal: true', 'fatal: false']],
  },
  {
    name: 'any id enters the ack cookie',
    file: 'src/relay/ack.ts',
    edits: [['/^[\\da-f]+$/i.test(mark)', "mark !== ''"]],
  },
  {
    name: 'what was stored is remembered for ever',
    file: 'src/relay/dedupe.ts',
    edits: [['keys.size > maxKeys', 'keys.size > Infinity']],
  },
]
