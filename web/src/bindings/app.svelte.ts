/** The one place where the sync core meets Svelte: the view as a signal, the route, the language, the clock. */
import { Client, type View } from "../sync/client";
import { isLocal, localThread, type Wish } from "../sync/outbox";
import { Database } from "../sync/database";
import { browserEnvironment, type Environment } from "../sync/environment";
import { HubError, type Hub, type Invited } from "../sync/hub";
import { inviteFrom, Pairer, type Invite, type Pairing } from "../sync/pairing";
import { certifyStatement, fingerprintOf, mustSign, publicKeyOf, signed } from "../sync/signing";
import { decisionOf, sealOf, type Choice, type Seal, type Sealed } from "../sync/deciding";
import type { Approval, Event, OpBodies, OpResult, Role } from "../protocol/generated";
import { isTextId, languageOf, plural, text, type Language, type TextId, type Values } from "../texts";
import type { Open } from "./inviting";
import { forgetAll } from "./leaving";
import { addressOf, routeOf, type Route } from "./route";
import * as select from "./select";
import { takeOver } from "./shared";

const LANGUAGE = "deskhand.language";

class App {
  readonly environment: Environment;
  readonly client: Client;
  language = $state<Language>("en");
  route = $state.raw<Route>({ name: "home" });
  view = $state.raw<View>() as View;
  now = $state(Date.now());
  signedIn = $state<boolean>();
  pairing = $state.raw<Pairing>();
  invite: Invite | null = null;
  /** A tap on an example: what the composer should hold next. */
  prefill = $state<string>();
  /** Overlays: at most one of each. */
  approval = $state<string>();
  artifact = $state<string>();
  /** The approval was opened by a key: its yes gets the focus. */
  byKey = false;
  said = $state("");
  #pairer: Pairer | undefined;

  readonly #minute = $derived(Math.floor(this.now / 60_000));
  readonly needs = $derived(select.needs(this.view, this.#minute * 60_000));
  readonly threads = $derived(select.threadRows(this.view));
  readonly archived = $derived(select.threadRows(this.view, { archived: true }));
  readonly pill = $derived(select.pill(this.view));
  readonly folders = $derived(select.folders(this.view));
  readonly runners = $derived(select.runners(this.view));

  constructor() {
    this.environment = browserEnvironment(() => this.language);
    this.client = new Client(this.environment, new Database());
    this.view = this.client.view;
    this.client.subscribe(() => {
      const before = this.view;
      this.view = this.client.view;
      this.#tell(before, this.view);
      if (this.view.link === "signed_out" && before.link !== "signed_out") void forgetAll(this.client);
    });
  }

  /** Wipe an invitation from the address before anything else, then show what is stored, then connect. */
  async begin(): Promise<void> {
    this.invite = inviteFrom(location.hash);
    if (this.invite) history.replaceState(null, "", "/");
    const stored = localStorage.getItem(LANGUAGE);
    this.speak(languageOf(stored ? [stored] : navigator.languages), { remember: false });
    this.#follow();
    addEventListener("hashchange", () => {
      const invite = inviteFrom(location.hash);
      if (invite) location.reload();
      else this.#follow();
    });
    setInterval(() => {
      if (document.visibilityState === "visible") this.now = Date.now();
    }, 1000);
    this.signedIn = await this.client.load();
    if (this.invite && !(this.signedIn && this.invite.kind === "claim")) await this.join();
    else if (this.signedIn) this.client.start();
    if (this.signedIn && location.hash === "#/shared") {
      await takeOver();
      this.go({ name: "home" });
    }
  }

  /** Go through the invitation of the address, or what was typed: six digits, or a recovery code. */
  async join(code?: string): Promise<void> {
    const invite = this.#shown(code?.trim());
    if (!invite) return;
    this.#pairer?.stop();
    this.#pairer = new Pairer(this.environment, this.client.hub, (pairing) => {
      this.pairing = pairing;
    });
    const credential = await this.#pairer.join(invite, this.deviceName, code ? undefined : this.invite?.hub);
    if (!credential) return;
    await this.client.signIn(credential);
    this.invite = null;
    this.pairing = undefined;
    this.signedIn = true;
    this.client.start();
  }

  /** What opens the door: what was typed, else what the address held. */
  #shown(typed: string | undefined): { code: string } | { invite: string } | null {
    if (typed?.startsWith("dhs_")) return { invite: typed };
    if (typed) return { code: typed };
    return this.invite && { invite: this.invite.secret };
  }

  /** Sign out here: forget everything, and begin anew. */
  async forget(): Promise<void> {
    await forgetAll(this.client);
    history.replaceState(null, "", "/");
    location.reload();
  }

  /** Invite a device or a person; the link names this hub, so that it is shown to no other. */
  async invitation(role: Invited, person?: string): Promise<Open> {
    const known = new Set(this.view.state.objects.pair_requests.keys());
    return { ...(await this.client.hub.invite(role, person)), role, known };
  }

  /** Whether what a task waits for is asked of whoever is here. */
  asked(task: string): boolean {
    return (this.role ?? "owner") === "owner" || this.needs.some((one) => one.kind === "question" && one.question.task === task);
  }

  get role(): Role | undefined {
    return this.view.state.objects.devices.get(this.view.device ?? "")?.role;
  }

  /** Whether this device speaks for the owner, who alone may say what is used. */
  get owns(): boolean {
    return this.role === "owner";
  }

  /** Who holds this device; the owner has no name here. */
  get person(): string {
    const me = this.view.state.objects.devices.get(this.view.device ?? "");
    return me && ["member", "viewer"].includes(me.role) ? (me.person ?? me.id) : "";
  }

  /** A name a person recognises in a list of devices. */
  get deviceName(): string {
    return deviceName(this.language);
  }

  speak(language: Language, { remember = true } = {}): void {
    this.language = language;
    document.documentElement.lang = language;
    if (remember) localStorage.setItem(LANGUAGE, language);
  }

  t(id: TextId, values?: Values): string {
    return text(this.language, id, values);
  }

  n(base: Parameters<typeof plural>[1], count: number): string {
    return plural(this.language, base, count);
  }

  go(route: Route): void {
    location.hash = addressOf(route);
  }

  events(thread: string): readonly Event[] {
    void this.view;
    return this.client.timeline(thread);
  }

  begun(thread: string): boolean {
    void this.view.outbox;
    return this.client.outbox.begun(thread);
  }

  async post<K extends keyof OpBodies>(wish: Wish<K>): Promise<string> {
    return (await this.client.post(wish)).op_id;
  }

  async ask<K extends keyof OpBodies>(wish: Wish<K>): Promise<OpResult> {
    return this.client.ask(wish);
  }

  async seal(shown: Sealed): Promise<Seal> {
    return sealOf(shown, this.environment.subtle);
  }

  /** The fingerprint of a public key; without one, of this device's own. Empty where there is none. */
  async fingerprint(key?: string): Promise<string> {
    const { subtle } = this.environment;
    return fingerprintOf(key ?? (await publicKeyOf(this.client.credential, subtle)), subtle);
  }

  /** Whether its computer takes this yes only signed, as it says; it looks itself. */
  mustSign({ risk, runner }: Approval, scope: string): boolean {
    return mustSign({ risk, scope }, this.view.state.objects.runners.get(runner));
  }

  /** Say, signed, that another device may approve what a computer takes only signed. */
  async certify(device: string, fingerprint: string, runner: string): Promise<void> {
    const { credential } = this.client;
    const about = { device, fingerprint, runner };
    const statement = certifyStatement(about, credential?.account);
    const { subtle } = this.environment;
    const word = await signed("deskhand-certify-v1\0", statement, credential, subtle);
    if (word) await this.post({ kind: "device.certify", body: { ...about, ...word } });
  }

  async decide(approval: Approval, choice: Choice): Promise<OpResult> {
    const { credential } = this.client;
    const body = await decisionOf(approval, choice, credential, this.environment.subtle);
    return this.ask({ kind: "approval.decide", thread: approval.thread, task: approval.task, body });
  }

  /** A model's name with what has to stand beside it. */
  modelName(model: string): string {
    const label = select.labelOf(this.view, model);
    return label ? `${select.unlabelled(model)} (${this.t(`model.${label}`)})` : model;
  }

  nameOf(actor: string | undefined): string {
    return select.nameOf(this.view, actor);
  }

  /** Say something to a screen reader, politely. */
  announce(sentence: string): void {
    this.said = sentence;
  }

  /** What went wrong, in the hub's own words where it had some. */
  explain(error: unknown): { message: string; cure: string; code?: string } {
    if (!(error instanceof HubError)) return { message: this.t("error.other"), cure: "" };
    const id = `error.${error.code}`;
    const fallback = this.t(isTextId(id) ? id : "error.other");
    return { message: error.message || fallback, cure: error.cure, code: error.code };
  }

  /** What changed while somebody was listening: ends and needs, never every step. */
  #tell(before: View, after: View): void {
    if (before.state.objects.tasks === after.state.objects.tasks || !before.state.cursor) return;
    for (const task of after.state.objects.tasks.values()) {
      const old = before.state.objects.tasks.get(task.id);
      if (!old || old.state === task.state) continue;
      const { title, verdict, answer } = task;
      if (task.state === "input_required") this.announce(this.t("live.needs", { title }));
      else if (verdict) {
        const word = this.t(answer ? "state.answered" : `verdict.${verdict}`);
        this.announce(this.t("live.finished", { title, verdict: word }));
      }
    }
  }

  #follow(): void {
    this.route = routeOf(location.hash);
    this.client.watch(this.route.name === "thread" ? this.route.thread : null);
    this.artifact = undefined;
    this.approval = undefined;
  }
}

function deviceName(language: Language): string {
  const agent = navigator.userAgent;
  const system = SYSTEMS.find(([pattern]) => pattern.test(agent))?.[1] ?? "";
  const browser = BROWSERS.find(([pattern]) => pattern.test(agent))?.[1] ?? "";
  if (!system || !browser) return text(language, "device.desktop");
  return text(language, "device.on", { browser, system });
}

const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/iPhone/, "iPhone"],
  [/iPad/, "iPad"],
  [/Android/, "Android"],
  [/CrOS/, "ChromeOS"],
  [/Windows/, "Windows"],
  [/Mac OS X/, "Mac"],
  [/Linux/, "Linux"],
];
const BROWSERS: readonly (readonly [RegExp, string])[] = [
  [/Edg\//, "Edge"],
  [/Firefox|FxiOS/, "Firefox"],
  [/Chrome|CriOS/, "Chrome"],
  [/Safari/, "Safari"],
];

export const app = new App();
export { isLocal, localThread, select };
export type { Hub, Invited, Open, Route, Seal };
