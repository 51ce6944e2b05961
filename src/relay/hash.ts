/**
 * Keys that say nothing of what they stand for.
 * Invariant: 64 hex digits, whatever the text; the text itself goes nowhere.
 */

/** SHA-256 of a text's UTF-8, as 64 lower-case hex digits. */
export const hashText = async (text: string): Promise<string> => {
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
