/**
 * Keeps one open road to the hub: gap first, then the stream; long polls where streams do not pass.
 *
 * A stream can die without an error (phones do that on resume), so silence counts as death, and every sign that the
 * page woke up opens it anew. It refuses to hold state: what it reads goes to `sink`.
 */
import type { Environment } from "./environment";
import type { Frame } from "./frames";
import { HubError, type EventPage, type Hub } from "./hub";

const FIRST_SIGN_MS = 20_000;
const SILENCE_MS = 35_000;
const POLL_SECONDS = 25;
const POLLS_BEFORE_STREAM = 12;
const ANSWER_MS = 15_000;
/** With the spread of a quarter never more than five seconds. */
const BACKOFF_MS = [300, 1000, 2500, 4000] as const;

export type Link = "connecting" | "live" | "reconnecting" | "offline" | "signed_out" | "outdated";

export interface Sink {
  cursor(): number | undefined;
  /** Begin again from a snapshot. */
  reset(signal: AbortSignal): Promise<void>;
  page(page: EventPage): Promise<void>;
  frame(frame: Frame): Promise<void>;
  /** `asked`: when the hub was asked for all there is, and answered. */
  link(link: Link, asked?: number): void;
  live(): string | null;
}

export class Connection {
  readonly #environment: Environment;
  readonly #hub: Hub;
  readonly #sink: Sink;
  #attempt: AbortController | undefined;
  #rest: (() => void) | undefined;
  #running = false;
  #hurry = false;
  #polls = 0;
  #streamed: string | null | undefined;
  #failures = 0;
  #stops: (() => void)[] = [];

  constructor(environment: Environment, hub: Hub, sink: Sink) {
    this.#environment = environment;
    this.#hub = hub;
    this.#sink = sink;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#stops = [
      this.#environment.onWake(() => {
        this.reopen();
      }),
      // The hub takes a page that listens for one that is looked at, and tells no phone what it shows.
      this.#environment.onOffline?.(() => this.#attempt?.abort()) ?? (() => undefined),
      this.#environment.onHide(() => {
        this.#attempt?.abort();
      }),
    ];
    void this.#run();
  }

  stop(): void {
    this.#running = false;
    for (const stop of this.#stops) stop();
    this.#attempt?.abort();
    this.#rest?.();
  }

  /** Believe nothing that is open: fetch the gap and stream anew. */
  reopen(): void {
    this.#failures = 0;
    this.#polls = 0;
    this.#hurry = true;
    this.#attempt?.abort();
    this.#rest?.();
  }

  /** Another thread is looked at: the stream is opened anew where it tells of live text. */
  look(): void {
    if (this.#streamed === undefined || this.#streamed === this.#sink.live()) return;
    this.#hurry = true;
    this.#attempt?.abort();
  }

  async #run(): Promise<void> {
    this.#sink.link("connecting");
    while (this.#running) {
      const attempt = new AbortController();
      this.#hurry = false;
      const { signal } = attempt;
      this.#attempt = attempt;
      try {
        await this.#attend(attempt);
        this.#failures += 1;
      } catch (error) {
        if (!signal.aborted && this.#gaveUp(error)) return;
        this.#failures += 1;
      }
      attempt.abort();
      await this.#pause();
    }
  }

  async #attend(attempt: AbortController): Promise<void> {
    const signal = attempt.signal;
    await this.#begun(signal);
    await this.#gap(attempt);
    this.#failures = 0;
    if (this.#polls > 0) await this.#poll(signal);
    else await this.#stream(attempt);
  }

  /** Begin from a snapshot where nothing is known, or what was known turned out to be of another log. */
  async #begun(signal: AbortSignal): Promise<void> {
    if (this.#sink.cursor() === undefined) await this.#sink.reset(signal);
  }

  /** A hub that stands still takes the question and gives no answer: that must not hold up the next try. */
  async #gap(attempt: AbortController): Promise<void> {
    const asked = this.#environment.now();
    for (;;) {
      const cancel = this.#environment.after(ANSWER_MS, () => {
        attempt.abort();
      });
      const page = await this.#hub
        .sync(this.#sink.cursor() ?? 0, 0, attempt.signal)
        .finally(cancel);
      await this.#sink.page(page);
      await this.#begun(attempt.signal);
      if (!page.more) break;
    }
    this.#sink.link("live", asked);
  }

  async #stream(attempt: AbortController): Promise<void> {
    let heard = false;
    const silent = () => {
      if (!heard) this.#polls = POLLS_BEFORE_STREAM;
      attempt.abort();
    };
    let cancel = this.#environment.after(FIRST_SIGN_MS, silent);
    try {
      const cursor = this.#sink.cursor() ?? 0;
      const live = this.#sink.live();
      this.#streamed = live;
      for await (const frame of this.#hub.stream(cursor, live, attempt.signal)) {
        heard = true;
        cancel();
        cancel = this.#environment.after(SILENCE_MS, silent);
        if (frame.kind === "reset") await this.#sink.reset(attempt.signal);
        else await this.#sink.frame(frame);
        await this.#begun(attempt.signal);
      }
    } finally {
      cancel();
      this.#streamed = undefined;
    }
  }

  async #poll(signal: AbortSignal): Promise<void> {
    while (this.#polls > 0) {
      const page = await this.#hub.sync(this.#sink.cursor() ?? 0, POLL_SECONDS, signal);
      await this.#sink.page(page);
      await this.#begun(signal);
      this.#polls -= 1;
    }
  }

  /** Some answers are not mended by trying again. */
  #gaveUp(error: unknown): boolean {
    if (!(error instanceof HubError)) return false;
    // Only in the hub's own words: whatever stands before it may refuse for reasons of its own.
    if (error.code === "unauthorized") this.#sink.link("signed_out");
    else if (error.status === 426) this.#sink.link("outdated");
    else return false;
    this.#running = false;
    return true;
  }

  async #pause(): Promise<void> {
    if (!this.#running || this.#hurry) return;
    if (!this.#environment.isVisible()) {
      await this.#sleep(undefined);
      return;
    }
    this.#sink.link(this.#environment.isOnline() ? "reconnecting" : "offline");
    const step = Math.min(Math.max(this.#failures - 1, 0), BACKOFF_MS.length - 1);
    const spread = 1 + (this.#environment.randomness(1)[0] ?? 0) / 1024;
    await this.#sleep((BACKOFF_MS[step] ?? 0) * spread);
  }

  /** Rest for a while, or with `undefined` until something wakes us. */
  async #sleep(milliseconds: number | undefined): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel =
        milliseconds === undefined ? () => undefined : this.#environment.after(milliseconds, resolve);
      this.#rest = () => {
        cancel();
        resolve();
      };
    });
    this.#rest = undefined;
  }
}
