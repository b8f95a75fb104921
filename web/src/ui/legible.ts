/**
 * Text that can only be read: what hides, turns the line round or imitates a letter is spelled out (AP-09, PI-08).
 * A word of Latin letters may have none that only look like them; whole words of any script stay as they are.
 */
const HIDDEN = /(?![\n\t])[\p{C}\p{Zl}\p{Zp}]/gu;
const LATIN_WORD = /[\p{L}\p{M}\p{N}_]*[A-Za-z][\p{L}\p{M}\p{N}_]*/gu;
const ALIKE = /[\u0370-\u052f\uff01-\uff5e]/gu;

const spelled = (letter: string): string =>
  `\\u${(letter.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`;

export const legible = (said: string): string =>
  said.replace(LATIN_WORD, (word) => word.replace(ALIKE, spelled)).replace(HIDDEN, spelled);
