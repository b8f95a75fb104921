/**
 * Saying yes or no to exactly one action. What is hashed is what is shown; if the two differ there is no yes.
 *
 * A no never needs a hash that fits, nor a signature.
 */
import type { Approval, OpBodies, Suggestion } from "../protocol/generated";
import { sha256Of } from "./canonical";
import type { Credential } from "./database";
import { approvalStatement, signed } from "./signing";

export type Seal = "fits" | "differs" | "unknown";

export interface Choice {
  readonly decision: "allow" | "deny";
  readonly scope: "once" | "task" | "always";
  readonly reason?: string | undefined;
}

export type Sealed = Approval | Suggestion;

/** Whether what is on the screen is what will run: `unknown` where this page cannot hash. */
export async function sealOf(shown: Sealed, subtle: SubtleCrypto | undefined): Promise<Seal> {
  const [bound, sha256] =
    "action" in shown
      ? [shown.action, shown.action_sha256]
      : [{ ...shown, preview_sha256: "" }, shown.preview_sha256];
  try {
    const found = await sha256Of(bound, subtle);
    if (found === null) return "unknown";
    return found === sha256 ? "fits" : "differs";
  } catch {
    return "differs";
  }
}

export async function decisionOf(
  approval: Approval,
  choice: Choice,
  credential: Credential | undefined,
  subtle: SubtleCrypto | undefined,
): Promise<OpBodies["approval.decide"]> {
  const body = {
    approval: approval.id,
    decision: choice.decision,
    scope: choice.scope,
    action_sha256: approval.action_sha256,
    ...(choice.reason ? { reason: choice.reason } : {}),
  };
  if (choice.decision === "deny" || !credential) return body;
  const statement = approvalStatement(approval, choice, credential);
  const yes = await signed("deskhand-approval-v1\0", statement, credential, subtle);
  return yes ? { ...body, ...yes, device: credential.device } : body;
}
