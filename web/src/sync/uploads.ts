/**
 * Files on their way to the hub: stored here before they are shown, sent in pieces, gone on with where the hub says it
 * stands (tus). A reload, a cut or a closed page costs the piece under way and nothing else. What the hub refuses is
 * told and not tried again.
 */
import type { Database, Parcel } from "./database";
import type { Environment } from "./environment";
import { HubError, isUnreachable, type Hub } from "./hub";
import { newId } from "./ids";

const PIECE_BYTES = 1024 * 1024;
const RETRY_SECONDS = 5;

export class Uploads {
  readonly #environment: Environment;
  readonly #database: Database;
  readonly #hub: Hub;
  readonly #changed: () => void;
  #entries: readonly Parcel[] = [];
  #sending: Promise<void> | undefined;
  #cancelRetry: () => void = () => undefined;

  constructor(parts: { environment: Environment; database: Database; hub: Hub; changed: () => void }) {
    this.#environment = parts.environment;
    this.#database = parts.database;
    this.#hub = parts.hub;
    this.#changed = parts.changed;
  }

  get entries(): readonly Parcel[] {
    return this.#entries;
  }

  async load(): Promise<void> {
    this.#entries = (await this.#database.parcels()).sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Keep a file for a message that is being written at this place, and begin to send it. */
  async add(file: File, where: string): Promise<void> {
    const id = newId("file", this.#environment.now(), this.#environment.randomness);
    const { name, size, type } = file;
    await this.#keep({ id, name, size, type, bytes: file, where, offset: 0, state: "waiting" });
    void this.flush();
  }

  /** Bind files to another place: to a message that was sent, or back to one that is written again. */
  async move(ids: readonly string[], where: string): Promise<void> {
    for (const id of ids) {
      const parcel = this.#find(id);
      if (parcel) await this.#keep({ ...parcel, where });
    }
  }

  async drop(ids: readonly string[]): Promise<void> {
    for (const id of ids) await this.#database.dropParcel(id);
    this.#entries = this.#entries.filter((one) => !ids.includes(one.id));
    this.#changed();
  }

  /** The hub's name for a file that is wholly there. */
  resolved(id: string): string | undefined {
    const parcel = this.#find(id);
    if (!parcel) return id;
    return parcel.state === "done" ? parcel.upload : undefined;
  }

  /** Send what waits, one file after the other; calls while sending join the one under way. */
  async flush(): Promise<void> {
    this.#sending ??= this.#flush().finally(() => {
      this.#sending = undefined;
    });
    return this.#sending;
  }

  async #flush(): Promise<void> {
    for (;;) {
      const next = this.#entries.find((one) => one.state === "waiting");
      if (!next) return;
      try {
        await this.#send(next.id);
      } catch (error) {
        if (!(error instanceof HubError) || isPassing(error)) {
          this.#cancelRetry();
          this.#cancelRetry = this.#environment.after(RETRY_SECONDS * 1000, () => void this.flush());
          return;
        }
        const { code, message, cure } = error;
        await this.#note(next.id, { state: "refused", error: { code, message, cure } });
      }
    }
  }

  async #send(id: string): Promise<void> {
    let offset = await this.#begun(id);
    for (;;) {
      const parcel = this.#find(id);
      if (!parcel?.upload) return;
      if (offset >= parcel.size) break;
      offset = await this.#hub.append(parcel.upload, parcel.bytes.slice(offset, offset + PIECE_BYTES), offset);
      await this.#note(id, { offset });
    }
    await this.#note(id, { state: "done", offset });
  }

  /** Where to go on: what the hub has of it, or from the front when it knows nothing (any more). */
  async #begun(id: string): Promise<number> {
    const parcel = this.#find(id);
    if (!parcel) return 0;
    if (parcel.upload) {
      try {
        return await this.#hub.uploaded(parcel.upload);
      } catch (error) {
        if (!(error instanceof HubError) || error.status !== 404) throw error;
      }
    }
    const upload = await this.#hub.beginUpload(parcel.name, parcel.size);
    await this.#note(id, { upload, offset: 0 });
    return 0;
  }

  #find(id: string): Parcel | undefined {
    return this.#entries.find((one) => one.id === id);
  }

  /** A file that was taken back meanwhile stays away. */
  async #note(id: string, changes: Partial<Parcel>): Promise<void> {
    const parcel = this.#find(id);
    if (parcel) await this.#keep({ ...parcel, ...changes });
  }

  async #keep(parcel: Parcel): Promise<void> {
    await this.#database.putParcel(parcel);
    const known = this.#find(parcel.id) !== undefined;
    this.#entries = known
      ? this.#entries.map((one) => (one.id === parcel.id ? parcel : one))
      : [...this.#entries, parcel];
    this.#changed();
  }
}

/** What another try may mend: no road, a session to renew, a piece whose end we did not hear, a file it forgot. */
const isPassing = (error: HubError): boolean =>
  isUnreachable(error) || error.retryable || [401, 404, 409].includes(error.status);
