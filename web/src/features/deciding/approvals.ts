/** Words and tones of an approval. */
import { app } from "../../bindings/app.svelte";
import { moment } from "../../bindings/format";
import type { Approval } from "../../protocol/generated";

export const RISK = {
  low: { tone: "good", icon: "shield" },
  medium: { tone: "care", icon: "alert" },
  high: { tone: "bad", icon: "alert" },
} as const;

export function outcomeOf(approval: Approval): string {
  if (approval.state === "void") return app.t("approval.void");
  const who = app.nameOf(approval.decided_by);
  const time = approval.decided_at ? moment(approval.decided_at) : "";
  const said = app.t(approval.state === "denied" ? "approval.denied" : "approval.allowed", { who, time });
  const scope = approval.state === "allowed" && approval.scope && approval.scope !== "once";
  return scope ? `${said} (${app.t(`approval.scope.${approval.scope ?? "once"}`)})` : said;
}
