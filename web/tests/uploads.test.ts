import fc from "fast-check";
import { expect, test } from "vitest";
import { Database } from "../src/sync/database";
import { Hub } from "../src/sync/hub";
import { Uploads } from "../src/sync/uploads";
import { failure, FakeEnvironment, settle } from "./fakes";

type Fault = "none" | "lost" | "half" | "mute" | "forgotten";

/** Speaks tus, and fails as it is told: the request never came, part of the piece did, or the answer got lost. */
class TusHub {
  readonly files = new Map<string, { name: string; size: number; bytes: number[] }>();
  faults: Fault[] = [];

  readonly fetch = async (input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    const url = input as string;
    const headers = new Headers(init.headers);
    const fault = this.faults.shift() ?? "none";
    if (fault === "lost") throw new TypeError("no route");
    if (fault === "forgotten") this.files.clear();
    const answer = await this.#answer(url, init, headers, fault);
    if (fault === "mute" || fault === "half") throw new TypeError("cut");
    return answer;
  };

  async #answer(url: string, init: RequestInit, headers: Headers, fault: Fault): Promise<Response> {
    if (init.method === "POST") {
      const id = `upl_${this.files.size}_${Math.floor(performance.now() * 1000)}`;
      const name = atob((headers.get("upload-metadata") ?? "").split(" ")[1] ?? "");
      this.files.set(id, { name, size: Number(headers.get("upload-length")), bytes: [] });
      return new Response(JSON.stringify({ id }), { status: 201 });
    }
    const file = this.files.get(url.split("/").at(-1) ?? "");
    if (!file) return failure(404, "not_found");
    if (init.method === "PATCH") {
      const piece = [...new Uint8Array(await (init.body as Blob).arrayBuffer())];
      // As in the hub: where it stands is looked at when the piece is written, by one writer at a time.
      if (Number(headers.get("upload-offset")) !== file.bytes.length) return failure(409, "upload_offset");
      file.bytes = file.bytes.concat(fault === "half" ? piece.slice(0, Math.ceil(piece.length / 2)) : piece);
    }
    return new Response(null, { status: 204, headers: { "Upload-Offset": String(file.bytes.length) } });
  }
}

let count = 0;

test("a file arrives whole and once, whatever is cut, lost or forgotten, and across reloads (P-07)", async () => {
  const fault = fc.constantFrom<Fault>("none", "lost", "half", "mute", "forgotten");
  await fc.assert(
    fc.asyncProperty(fc.array(fault, { maxLength: 8 }), fc.nat({ max: 3 }), async (faults, reloads) => {
      const hub = new TusHub();
      const environment = new FakeEnvironment(hub.fetch);
      const name = `uploads${(count += 1)}`;
      const bytes = Uint8Array.from({ length: 1024 * 1024 * 2 + 7 }, (_, at) => at % 251);
      const open = async () => {
        const database = new Database(name);
        const parts = { environment, database, hub: new Hub(environment, () => "half"), changed: () => undefined };
        const uploads = new Uploads(parts);
        await uploads.load();
        return uploads;
      };
      hub.faults = [...faults];
      let uploads = await open();
      await uploads.add(new File([bytes], "a.bin"), "here");
      for (let at = 0; at < faults.length + reloads + 2; at += 1) {
        await uploads.flush();
        await environment.pass(6000);
        // A page that is loaded again is gone: it never speaks beside the new one.
        if (at < reloads) uploads = await open();
      }
      await uploads.flush();
      await settle();

      const [parcel] = uploads.entries;
      const file = hub.files.get(parcel?.upload ?? "");
      expect(parcel?.state).toBe("done");
      expect(file?.bytes.length).toBe(bytes.length);
      expect(file?.bytes.every((byte, at) => byte === at % 251)).toBe(true);
    }),
    { numRuns: 15 },
  );
}, 60_000);

test("what the hub refuses is told with its reason and not sent again", async () => {
  const environment = new FakeEnvironment(() => Promise.resolve(failure(413, "too_large")));
  const parts = { environment, database: new Database("refused"), hub: new Hub(environment, () => "half"), changed: () => undefined };
  const uploads = new Uploads(parts);

  await uploads.add(new File(["x"], "big.bin"), "here");
  await uploads.flush();
  await settle();

  expect(uploads.entries.map(({ state, error }) => [state, error?.code])).toEqual([["refused", "too_large"]]);
});
