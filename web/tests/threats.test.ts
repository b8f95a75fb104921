import { expect, test } from "vitest";
import { addressOf, routeOf } from "../src/bindings/route";
import { Hub } from "../src/sync/hub";
import { inviteFrom } from "../src/sync/pairing";
import { legible } from "../src/ui/legible";
import { noticeOf } from "../src/worker/notice";
import { FakeEnvironment, json } from "./fakes";

const ELSEWHERE = "https://evil.example";

test("a link leads to an id or a page of ours, and sets nothing (AU-11)", () => {
  const hostile = [
    `#hub=${ELSEWHERE}`, `#/settings?hub=${ELSEWHERE}`, "#/settings/ceiling.mode=trusted", "#/approve/apr_1/allow",
    `#/${ELSEWHERE}/threads`, "#javascript:alert(1)", `#/needs/../../${ELSEWHERE}`,
  ]; // prettier-ignore

  const pages = hostile.map((link) => addressOf(routeOf(link)));

  expect(pages.every((page) => ["#/", "#/settings", "#/needs"].includes(page))).toBe(true);
  expect(routeOf(`#/threads/${encodeURIComponent(ELSEWHERE)}`)).toEqual({
    name: "thread",
    thread: ELSEWHERE,
    task: undefined,
  });
  expect(hostile.map(inviteFrom).filter(Boolean)).toEqual([]);
});

test("whatever address of a hub stands in a link, only the own origin is ever asked (OR-05)", async () => {
  const asked: string[] = [];
  const environment = new FakeEnvironment((input) => {
    asked.push(input instanceof Request ? input.url : String(input));
    return Promise.resolve(json({}));
  });
  const hub = new Hub(environment, () => "half");

  await hub.snapshot();
  await hub.sync(0, 0);

  expect(inviteFrom(`#join=abc&hub=${ELSEWHERE}`)?.secret).toBe("abc");
  expect(asked).toEqual(["/v1/snapshot", expect.stringMatching(/^\/v1\/sync\?/)]);
});

test("a notification offers nothing to press, so that a lock screen decides nothing (AP-11)", () => {
  const said = { title: "Needs you", actions: [{ action: "allow", title: "Allow" }], navigate: "/#/needs" };

  const { shown } = noticeOf(JSON.stringify({ notification: said }));

  expect(shown.title).toBe("Needs you");
  expect(Object.keys(shown)).not.toContain("actions");
  expect(shown.data).toEqual({ navigate: "/#/needs", delivery: undefined });
});

test("what hides, turns round or imitates a letter is shown as what it is (AP-09, PI-08)", () => {
  const shown = {
    "a\u202egnp.exe": "a\\u202egnp.exe",
    "rm\u200b -rf\u00ad": "rm\\u200b -rf\\u00ad",
    "p\u0430ypal.example": "p\\u0430ypal.example",
    "ok\u001b[2J\u2028[approved]": "ok\\u001b[2J\\u2028[approved]",
    "bank\uff0dof": "bank\uff0dof",
  };

  expect(Object.keys(shown).map(legible)).toEqual(Object.values(shown));
  expect(legible("README파일.md отчёт Ωmega-καλά\n\tβ")).toBe("README파일.md отчёт \\u03a9mega-καλά\n\tβ");
});
