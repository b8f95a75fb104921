/**
 * The one spelling of a JSON value that Python and TypeScript share, and its SHA-256.
 *
 * An approval is bound to the hash of exactly what is shown, so this must equal `deskhand.protocol.wire.canonical`.
 * It refuses floats (they print differently elsewhere) and, without `crypto.subtle`, it refuses to hash at all:
 * on a plain-HTTP page the code itself came over the wire that an attacker would change.
 */

export class NotCanonical extends Error {}

export function canonical(value: unknown): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") {
    return JSON.stringify(value);
  }
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value)) throw new NotCanonical("a float cannot be hashed");
    return String(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value === "object") {
    const fields = Object.entries(value).sort(([a], [b]) => byCodePoint(a, b));
    return `{${fields.map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`).join(",")}}`;
  }
  throw new NotCanonical(`${typeof value} is not JSON`);
}

/** Hash a value, or return `null` where the page has no trustworthy way to do it. */
export async function sha256Of(
  value: unknown,
  subtle: SubtleCrypto | undefined,
): Promise<string | null> {
  if (!subtle) return null;
  const digest = await subtle.digest("SHA-256", new TextEncoder().encode(canonical(value)));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Python sorts strings by code point, JavaScript by UTF-16 unit: they differ above U+FFFF. */
function byCodePoint(a: string, b: string): number {
  const left = Array.from(a);
  const right = Array.from(b);
  for (let i = 0; i < Math.min(left.length, right.length); i += 1) {
    const difference = (left[i]?.codePointAt(0) ?? 0) - (right[i]?.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}
