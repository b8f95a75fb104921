/**
 * Agent text to harmless nodes: no script, no style, no picture from elsewhere, no form, no id that could shadow ours.
 *
 * A link stays a link only to https or mail, shows where it leads, and opens outside without telling where it came from.
 */
import DOMPurify from "dompurify";
import { marked } from "marked";

const purifier = DOMPurify(window);

purifier.addHook("uponSanitizeElement", (node) => {
  const element = node as Element;
  if (element.nodeName !== "IMG") return;
  element.replaceWith(document.createTextNode(element.getAttribute("alt") ?? ""));
});

purifier.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName !== "A") return;
  const address = node.getAttribute("href") ?? "";
  if (!/^(https?:\/\/|mailto:)/i.test(address)) {
    node.removeAttribute("href");
    return;
  }
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
  const shown = node.textContent;
  if (!shown.includes(whereTo(address))) node.append(` (${whereTo(address)})`);
});

const TAGS = (
  "a b blockquote br code dd del div dl dt em h1 h2 h3 h4 h5 h6 hr i img kbd li mark ol p pre q s samp small span" +
  " strong sub sup table tbody td tfoot th thead tr u ul var"
).split(" ");

export function fragmentOf(text: string): DocumentFragment {
  const html = marked.parse(text, { async: false, gfm: true });
  return purifier.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ["href", "alt", "colspan", "rowspan", "start", "align"],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
}

function whereTo(address: string): string {
  try {
    const url = new URL(address);
    return url.host || url.pathname;
  } catch {
    return address;
  }
}
