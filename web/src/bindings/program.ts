/** An address becomes a program only here, under Trusted Types, and only one of this build's own files. */

interface Policy {
  createScriptURL(url: string): string;
}
type Types = { createPolicy(name: string, rules: Policy): Policy } | undefined;

export function program(address: string): string {
  const types = (globalThis as unknown as { trustedTypes?: Types }).trustedTypes;
  const policy = types?.createPolicy("deskhand", {
    createScriptURL: (url) => {
      if (!/^\/(worker|assets\/[\w.-]+)\.js$/.test(url)) throw new TypeError("no such program");
      return url;
    },
  });
  return policy ? policy.createScriptURL(address) : address;
}
