// @vitest-environment node
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { clientAddress, normalizeAddress } from '../../src/relay/address.ts'

const forwarded = (...entries: string[]) => new Headers({ 'X-Forwarded-For': entries.join(',') })

/** What a client may put into a header of its own; a header's value is Latin-1 without line breaks. */
const anyEntry = fc.oneof(fc.ipV4(), fc.ipV6(), fc.constantFrom('', ' ', 'unknown', '_hidden', '127.0.0.1', '[::1]:80', '999.1.1.1'), fc.stringMatching(/^[ -~]{0,20}$/))
const anyAddress = fc.oneof(fc.ipV4(), fc.ipV6())
const PLATFORM = '203.0.113.7'

describe('an address', () => {
  it.each([
    ['198.51.100.1', '198.51.100.1'],
    [' 198.51.100.1 ', '198.51.100.1'],
    ['198.51.100.1:4711', '198.51.100.1'],
    ['::ffff:198.51.100.1', '198.51.100.1'],
    ['::FFFF:c633:6401', '198.51.100.1'],
    ['[::ffff:198.51.100.1]:443', '198.51.100.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::', '2001:db8:1:2::/64'],
    ['[2001:db8:1:2::9]', '2001:db8:1:2::/64'],
    ['[2001:db8:1:2::9]:443', '2001:db8:1:2::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['[fe80::1%25eth0]:443', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['1::', '1:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
  ])('%j counts as %s', (given, counted) => expect(normalizeAddress(given)).toBe(counted))

  it.each(['', 'unknown', '_gazonk', '256.1.1.1', '1.2.3', '1.2.3.4.', '01.2.3.4', '1.2.3.4:x', '2001:db8', ':::', '1:2:3:4:5:6:7:8:9', 'abcd', '[1.2.3.4', '::1]', '1.2.3.4, 5.6.7.8', 'x::1'])(
    '%j is none',
    (given) => expect(normalizeAddress(given)).toBeUndefined(),
  )

  it('IPv6 is told apart by its first 64 bits, and by nothing else', () => {
    const group = fc.nat(0xffff).map((n) => n.toString(16))
    const half = fc.tuple(group, group, group, group).map((groups) => groups.join(':'))
    fc.assert(
      fc.property(half, half, half, half, (network, other, a, b) => {
        fc.pre(network !== other && ![network, other].includes('0:0:0:0'))
        expect(normalizeAddress(`${network}:${a}`)).toBe(`${network}::/64`)
        expect(normalizeAddress(`[${network}:${b}]:443`)).toBe(`${network}::/64`)
        expect(normalizeAddress(`${other}:${a}`)).not.toBe(`${network}::/64`)
      }),
    )
  })

  it('IPv4 is the same however it is written', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.integer({ min: 1, max: 65_535 }), (address, port) => {
        for (const form of [address, `${address}:${port}`, `::ffff:${address}`, `[::ffff:${address}]:${port}`]) expect(normalizeAddress(form)).toBe(address)
      }),
    )
  })

  it('of any text is read without an exception, and is short', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), anyEntry), (text) => void expect((normalizeAddress(text) ?? '').length).toBeLessThan(24)))
  })
})

describe('the client', () => {
  it('is whom the platform names, whatever the headers say', () => {
    fc.assert(
      fc.property(fc.array(anyEntry, { maxLength: 5 }), (entries) => {
        const headers = forwarded(...entries)
        for (const name of ['X-Real-IP', 'CF-Connecting-IP', 'True-Client-IP', 'Forwarded']) headers.set(name, '192.0.2.66')
        expect(clientAddress(headers, PLATFORM, 0)).toBe(PLATFORM)
        expect(clientAddress(headers, undefined, 0)).toBeUndefined()
      }),
    )
  })

  it('is whom the outermost of n trusted proxies named, whatever the client had written before', () => {
    fc.assert(
      fc.property(fc.array(anyEntry, { maxLength: 5 }), anyAddress, fc.array(anyAddress, { maxLength: 4 }), (sent, client, proxies) => {
        expect(clientAddress(forwarded(...sent, client, ...proxies), PLATFORM, proxies.length + 1)).toBe(normalizeAddress(client))
      }),
    )
  })

  it('is never made up by the client, even where a proxy wrote no address', () => {
    const anyWritten = fc.oneof(anyAddress, fc.constantFrom('unknown', '_hidden', ''))
    fc.assert(
      fc.property(fc.array(anyEntry, { maxLength: 5 }), fc.array(anyWritten, { minLength: 1, maxLength: 4 }), (sent, written) => {
        const first = written.map(normalizeAddress).find(Boolean)
        expect(clientAddress(forwarded(...sent, ...written), PLATFORM, written.length)).toBe(first ?? PLATFORM)
      }),
    )
  })

  it('is the last entry where there are fewer entries than proxies: only that one is surely a proxy’s', () => {
    expect(clientAddress(forwarded('192.0.2.66', '198.51.100.1'), PLATFORM, 3)).toBe('198.51.100.1')
    expect(clientAddress(forwarded('192.0.2.66', 'unknown'), PLATFORM, 3)).toBe(PLATFORM)
    expect(clientAddress(new Headers(), PLATFORM, 3)).toBe(PLATFORM)
  })
})
