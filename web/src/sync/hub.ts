/**
 * The hub as the page calls it: JSON over fetch, half of the credential in a header, the other in a cookie we never see.
 *
 * Every refusal becomes a `HubError` with a code, a sentence and a cure. It refuses to call any other address.
 */
import type {
  Approval,
  Artifact,
  Delivery,
  Device,
  Event,
  Folder,
  Op,
  OpResult,
  PairRequest,
  Presence,
  Question,
  Runner,
  Setting,
  Task,
  Thread,
} from "../protocol/generated";
import type { Environment } from "./environment";
import type { Signed } from "./signing";
import { framesOf, type Frame } from "./frames";

export const PROTOCOL = "1";
const TUS = { "Tus-Resumable": "1.0.0" } as const;

/** Which log this is and how long; under another name the same numbers are other events. */
export interface Log {
  readonly head?: number;
  readonly incarnation?: string;
}

export interface Snapshot {
  readonly cursor: number;
  readonly incarnation?: string;
  readonly me?: Partial<Device>;
  readonly account?: string;
  readonly threads?: readonly Thread[];
  readonly tasks?: readonly Task[];
  readonly approvals?: readonly Approval[];
  readonly questions?: readonly Question[];
  readonly artifacts?: readonly Artifact[];
  readonly runners?: readonly Runner[];
  readonly folders?: readonly Folder[];
  readonly devices?: readonly Device[];
  readonly pair_requests?: readonly PairRequest[];
  readonly settings?: readonly Setting[];
  readonly presence?: readonly Presence[];
  readonly read?: Readonly<Record<string, number>>;
}

export interface EventPage extends Log {
  readonly events: readonly Event[];
  readonly next: number;
  readonly more: boolean;
}

export interface ListPage<T> {
  readonly items: readonly T[];
  readonly next?: string | null;
}

export interface Joining {
  readonly request: string;
  readonly secret: string;
  readonly match: string;
  readonly expires_at?: string;
}

export interface Claimed {
  readonly token: string;
  readonly device: string | { readonly id: string };
  readonly account?: string;
  readonly role?: string;
}

export type Invited = "owner" | "member" | "viewer";

export interface Invitation {
  readonly id: string;
  /** What opens it, with the mark of its hub; `picture` is that for a camera, where a phone can open it. */
  readonly url: string;
  readonly picture?: string;
  readonly code?: string;
  readonly expires_at: string;
}

export class HubError extends Error {
  readonly code: string;
  readonly cure: string;
  readonly status: number;
  readonly retryable: boolean;
  readonly retryAfter: number | undefined;

  constructor(said: {
    code: string;
    message: string;
    cure?: string;
    status?: number;
    retryable?: boolean;
    retryAfter?: number | undefined;
  }) {
    super(said.message);
    this.code = said.code;
    this.cure = said.cure ?? "";
    this.status = said.status ?? 0;
    this.retryable = said.retryable ?? false;
    this.retryAfter = said.retryAfter;
  }
}

/** Nothing is known about what the hub did: it was not reached, or broke off. */
export const isUnreachable = (error: unknown): boolean =>
  error instanceof HubError && (error.status === 0 || error.retryable);

interface Call {
  readonly method?: string;
  readonly json?: unknown;
  readonly bytes?: Blob;
  readonly signal?: AbortSignal;
  readonly headers?: Record<string, string>;
}

export class Hub {
  readonly #environment: Environment;
  readonly #key: () => string | undefined;

  constructor(environment: Environment, key: () => string | undefined) {
    this.#environment = environment;
    this.#key = key;
  }

  async snapshot(signal?: AbortSignal): Promise<Snapshot> {
    return this.#json<Snapshot>("/v1/snapshot", within(signal));
  }

  async sync(after: number, wait: number, signal?: AbortSignal): Promise<EventPage> {
    return this.#json(`/v1/sync?after=${after}&limit=500&wait=${wait}`, within(signal));
  }

  async *stream(after: number, live: string | null, signal: AbortSignal): AsyncGenerator<Frame> {
    const thread = live ? `&live=${encodeURIComponent(live)}` : "";
    const headers = { Accept: "text/event-stream" };
    const answer = await this.#call(`/v1/stream?after=${after}&screen=1${thread}`, { headers, signal });
    if (answer.body) yield* framesOf(answer.body);
  }

  async send(ops: readonly Op[]): Promise<readonly OpResult[]> {
    const answer = await this.#json<{ results: OpResult[] }>("/v1/ops", {
      method: "POST",
      json: { ops },
    });
    return answer.results;
  }

  async threadEvents(thread: string, before?: number): Promise<readonly Event[]> {
    const older = before === undefined ? "" : `&before=${before}`;
    const path = `/v1/threads/${encodeURIComponent(thread)}/events?limit=500${older}`;
    return (await this.#json<{ items: Event[] }>(path)).items;
  }

  async list<T>(path: string): Promise<readonly T[]> {
    return (await this.page<T>(path)).items;
  }

  /** One page of a list, and where the next begins. */
  async page<T>(path: string): Promise<ListPage<T>> {
    return this.#json<ListPage<T>>(path);
  }

  async one<T>(path: string): Promise<T> {
    return this.#json<T>(path);
  }

  async deliveries(): Promise<readonly Delivery[]> {
    return this.list<Delivery>("/v1/deliveries?limit=20");
  }

  async content(artifact: string, limit?: number): Promise<Response> {
    const headers: Record<string, string> = limit ? { Range: `bytes=0-${limit - 1}` } : {};
    return this.#call(`/v1/artifacts/${encodeURIComponent(artifact)}/content`, { headers });
  }

  /** Begin to hand a file in; the answer is the hub's name for it (tus 1.0). */
  async beginUpload(name: string, size: number): Promise<string> {
    const bytes = new TextEncoder().encode(name);
    const told = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    const headers = { ...TUS, "Upload-Length": String(size), "Upload-Metadata": `filename ${told}` };
    const answer = await this.#call("/v1/uploads", { method: "POST", headers });
    return ((await answer.json()) as { id: string }).id;
  }

  /** How much of a file is there. */
  async uploaded(upload: string): Promise<number> {
    const answer = await this.#call(`/v1/uploads/${upload}`, { method: "HEAD", headers: TUS });
    return Number(answer.headers.get("upload-offset"));
  }

  /** Add a piece; answers how much is there then. */
  async append(upload: string, piece: Blob, offset: number): Promise<number> {
    const headers = { ...TUS, "Upload-Offset": String(offset), "Content-Type": "application/offset+octet-stream" };
    const answer = await this.#call(`/v1/uploads/${upload}`, { method: "PATCH", headers, bytes: piece });
    return Number(answer.headers.get("upload-offset"));
  }

  async pair(invite: { invite: string } | { code: string }, name: string, publicKey?: string) {
    const json = { ...invite, name, ...(publicKey ? { public_key: publicKey } : {}) };
    return this.#json<Joining>("/v1/pair", { method: "POST", json });
  }

  /** The credential, or `null` while nobody has decided. */
  async claim(joining: Joining): Promise<Claimed | null> {
    const json = { request: joining.request, secret: joining.secret };
    const answer = await this.#call("/v1/pair/claim", { method: "POST", json });
    return answer.status === 202 ? null : ((await answer.json()) as Claimed);
  }

  /** Invite a page of this person or of another one, or a computer. */
  async invite(role: Invited | "runner" = "owner", person?: string): Promise<Invitation> {
    const kind = role === "runner" ? "runner" : "page";
    return this.#json("/v1/pair/invites", { method: "POST", json: { kind, role, person } });
  }

  async closeInvite(invite: string): Promise<void> {
    await this.#call(`/v1/pair/invites/${encodeURIComponent(invite)}`, { method: "DELETE" });
  }

  /** What this hub signs of ``nonce``, so that it can be told from others. */
  async prove(nonce: string): Promise<Partial<Signed> | null> {
    return (await this.#json<{ hub?: Partial<Signed> | null }>(`/v1/version?nonce=${nonce}`)).hub ?? null;
  }

  async post(path: string, json?: unknown): Promise<unknown> {
    const answer = await this.#call(path, { method: "POST", json });
    return answer.headers.get("content-type")?.includes("json") ? answer.json() : null;
  }

  async #json<T>(path: string, call: Call = {}): Promise<T> {
    const answer = await this.#call(path, call);
    try {
      return (await answer.json()) as T;
    } catch {
      throw unreachable();
    }
  }

  async #call(path: string, call: Call): Promise<Response> {
    const key = this.#key();
    const headers: Record<string, string> = {
      "Deskhand-Protocol": PROTOCOL,
      "Accept-Language": this.#environment.language(),
      ...(key ? { "X-Deskhand-Key": key } : {}),
      ...(call.json === undefined ? {} : { "Content-Type": "application/json" }),
      ...call.headers,
    };
    const request: RequestInit = {
      method: call.method ?? "GET",
      headers,
      cache: "no-store",
      redirect: "error",
      ...(call.json === undefined ? {} : { body: JSON.stringify(call.json) }),
      ...(call.bytes ? { body: call.bytes } : {}),
      ...(call.signal ? { signal: call.signal } : {}),
    };
    let answer: Response;
    try {
      answer = await this.#environment.fetch(path, request);
    } catch {
      throw unreachable();
    }
    if (!answer.ok) throw await refusal(answer);
    return answer;
  }
}

const within = (signal: AbortSignal | undefined): Call => (signal ? { signal } : {});

const unreachable = () =>
  new HubError({ code: "hub_unreachable", message: "", retryable: true });

async function refusal(answer: Response): Promise<HubError> {
  const retryAfter = Number(answer.headers.get("retry-after")) || undefined;
  const fallback = { code: answer.status >= 500 ? "unavailable" : "invalid", message: "" };
  let said: { code: string; message: string; cure?: string; retryable?: boolean } = fallback;
  try {
    said = { ...fallback, ...((await answer.json()) as { error: object }).error };
  } catch {
    // A proxy answered, not the hub: the status is all there is.
  }
  const retryable = said.retryable ?? answer.status >= 500;
  return new HubError({ ...said, status: answer.status, retryable, retryAfter });
}
