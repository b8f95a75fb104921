/** How a command line may go on, while it is typed: names, options and their values, and what the command is. */
import type { CommandInfo, OptionInfo } from "../protocol/generated";
import type { Language } from "../texts";
import { bare } from "./select";

/** One way on: the line as it would be then. */
export interface Way {
  readonly line: string;
  readonly name: string;
  readonly command?: CommandInfo;
  readonly option?: OptionInfo;
}

/** The ways on, the likeliest first; none where anything may follow. */
export function waysOn(commands: readonly CommandInfo[], typed: string): Way[] {
  if (/^\/[\w-]*$/.test(typed)) return namesLike(commands, typed.slice(1).toLowerCase());
  const command = commandOf(commands, typed);
  if (!command) return [];
  const { before, last, words } = taken(typed);
  const values = command.options.find((one) => `--${one.name}` === words.at(-1))?.choices ?? [];
  if (values.length) return values.flatMap((name) => (name.startsWith(last) ? way(before, name) : []));
  if (command.takes === "name" && words.length === 1) {
    return namesLike(commands, last).map(({ name }) => ({ line: `${before} ${name}`, name }));
  }
  if (!last.startsWith("-")) return [];
  return optionsLeft(command, typed)
    .filter((option) => `--${option.name}`.startsWith(last))
    .flatMap((option) => way(before, `--${option.name}`).map((one) => ({ ...one, option })));
}

/** The command of a line that goes on after its name. */
export function commandOf(commands: readonly CommandInfo[], typed: string): CommandInfo | undefined {
  const name = /^\/([\w-]+)\s/.exec(typed)?.[1]?.toLowerCase();
  return name ? commands.find((one) => bare(one.name) === name) : undefined;
}

/** The options that the line has not yet. */
export function optionsLeft(command: CommandInfo, typed: string): OptionInfo[] {
  const { words } = taken(typed);
  return command.options.filter((option) => !words.includes(`--${option.name}`));
}

/** What a command is, and sentences that ask for it, in one language. */
export function told(command: CommandInfo, language: Language): { summary: string; examples: string[] } {
  const korean = language === "ko";
  const examples = command.examples.filter((one) => /[가-힣]/.test(one) === korean);
  return { summary: (korean && command.summary_ko) || command.summary, examples };
}

function namesLike(commands: readonly CommandInfo[], begun: string): Way[] {
  const like = commands.filter((one) => bare(one.name).startsWith(begun));
  return like.map((command) => ({ line: `/${bare(command.name)} `, name: bare(command.name), command }));
}

function taken(typed: string): { before: string; last: string; words: string[] } {
  const space = typed.lastIndexOf(" ");
  const before = typed.slice(0, Math.max(space, 0));
  return { before, last: typed.slice(space + 1), words: before.split(/\s+/).filter(Boolean) };
}

const way = (before: string, name: string): Way[] => [{ line: `${before} ${name} `, name }];
