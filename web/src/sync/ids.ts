/** Ids made on the device: time-ordered like the hub's, without `crypto.randomUUID`, which plain HTTP lacks. */

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
