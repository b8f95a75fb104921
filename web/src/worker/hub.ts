/** Tells the hub what became of a notification, with the half of the credential that the page stored. */

interface Stored {
  readonly key: string;
}

export async function acknowledge(
  delivery: string | undefined,
  fate: "shown" | "tapped",
): Promise<void> {
  const credential = delivery ? await stored() : undefined;
  if (!delivery || !credential) return;
  const op = { op_id: `ack-${fate}-${delivery}`, kind: "notification.ack", body: { delivery, fate } };
  await fetch("/v1/ops", {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      "Deskhand-Protocol": "1",
      "X-Deskhand-Key": credential.key,
    },
    body: JSON.stringify({ ops: [op] }),
  });
}

/** Read, never create: an empty database made here would stand in the page's way. */
function stored(): Promise<Stored | undefined> {
  return new Promise((resolve) => {
    const opening = indexedDB.open("deskhand");
    opening.onupgradeneeded = () => opening.transaction?.abort();
    opening.onerror = () => {
      resolve(undefined);
    };
    opening.onsuccess = () => {
      const reading = opening.result.transaction("meta").objectStore("meta").get("credential");
      reading.onsuccess = () => {
        resolve(reading.result as Stored | undefined);
      };
      reading.onerror = () => {
        resolve(undefined);
      };
      reading.transaction?.addEventListener("complete", () => {
        opening.result.close();
      });
    };
  });
}
