/** Every sentence of the page by id, in English and Korean; 40 own lines instead of a library. */
import en from "./en.json";
import ko from "./ko.json";

export type TextId = keyof typeof en;
export type Language = "en" | "ko";
export type Values = Readonly<Record<string, string | number>>;
type Plural = TextId extends infer I ? (I extends `${infer Base}.other` ? Base : never) : never;

const CATALOGUES: Record<Language, Record<TextId, string>> = { en, ko };

export const LANGUAGES: readonly Language[] = ["en", "ko"];

export function languageOf(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    const language = LANGUAGES.find((known) => tag.toLowerCase().split("-")[0] === known);
    if (language) return language;
  }
  return "en";
}

export function text(language: Language, id: TextId, values: Values = {}): string {
  return CATALOGUES[language][id].replace(/\{(\w+)\}/g, (place, name: string) =>
    String(values[name] ?? place),
  );
}

export function plural(language: Language, base: Plural, n: number): string {
  const rule = new Intl.PluralRules(language).select(n);
  const id = `${base}.${rule}` as TextId;
  return text(language, id in en ? id : (`${base}.other` as TextId), { n });
}

export const isTextId = (id: string): id is TextId => id in en;
