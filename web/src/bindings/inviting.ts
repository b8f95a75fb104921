/** How an invitation stands on the screen that made it, from what the log says of who came with it. */
import type { Device, PairRequest } from "../protocol/generated";
import type { View } from "../sync/client";
import type { Invitation, Invited } from "../sync/hub";

/** An invitation with what was known when it was made: whoever asks later may have come by it. */
export interface Open extends Invitation {
  readonly role: Invited;
  readonly known: ReadonlySet<string>;
}

export type Inviting =
  | { readonly step: "waiting" | "expired" }
  | { readonly step: "asked" | "added" | "refused"; readonly request: PairRequest };

export function invitingOf(view: View, invitation: Open, now: number): Inviting {
  const came = [...view.state.objects.pair_requests.values()]
    .filter((one) => one.kind === "page" && one.role === invitation.role && !invitation.known.has(one.id))
    .sort((a, b) => (a.asked_at < b.asked_at ? 1 : -1));
  const request = came.find((one) => one.state === "waiting") ?? came[0];
  if (request?.state === "admitted") return { step: "added", request };
  if (request?.state === "refused") return { step: "refused", request };
  if (Date.parse(invitation.expires_at) <= now) return { step: "expired" };
  return request ? { step: "asked", request } : { step: "waiting" };
}

/** Owners before members before viewers; of each those that came last. */
export function byRole(a: Device, b: Device): number {
  const apart = ROLES.indexOf(a.role) - ROLES.indexOf(b.role);
  return apart || (a.created_at < b.created_at ? 1 : -1);
}

const ROLES = ["owner", "member", "viewer", "client", "bridge", "runner"];
