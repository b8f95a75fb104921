/** Ids made on the device: time-ordered like the hub's, without `crypto.randomUUID`, which plain HTTP lacks; base64url. */

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

export type Randomness = (size: number) => Uint8Array;

export function newId(prefix: string, now: number, randomness: Randomness): string {
  let number = BigInt(now) << 80n;
  randomness(10).forEach((byte, index) => {
    number |= BigInt(byte) << BigInt(8 * (9 - index));
  });
  let text = "";
  for (let shift = 125n; shift >= 0n; shift -= 5n) text += ALPHABET.charAt(Number((number >> shift) & 31n));
  return `${prefix}_${text}`;
}

export function base64url(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}
