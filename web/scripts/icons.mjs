/**
 * Draws the icons from one set of numbers: SVG as text, PNG by distance fields, so that no drawing program is needed.
 * The mark: a desk (the line), and a tick that stands on it.
 */
import { writeFileSync } from "node:fs";
import { deflateSync } from "node:zlib";

const PETROL = [13, 92, 112];
const PAPER = [246, 244, 239];
/** On a grid of 100. */
const DESK = { from: [24, 73], to: [76, 73], width: 8 };
const TICK = { points: [[31, 43], [45, 57], [70, 28]], width: 10 };
const CORNER = 24;
const folder = new URL("../public/", import.meta.url);

const hex = (colour) => `#${colour.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
const path = TICK.points.map(([x, y], at) => `${at ? "L" : "M"}${x} ${y}`).join("");
const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><rect width="100" height="100" rx="${CORNER}" fill="${hex(PETROL)}"/><g fill="none" stroke="${hex(PAPER)}" stroke-linecap="round" stroke-linejoin="round"><path stroke-width="${TICK.width}" d="${path}"/><path stroke-width="${DESK.width}" d="M${DESK.from.join(" ")}H${DESK.to[0]}"/></g></svg>\n`;
writeFileSync(new URL("icon.svg", folder), svg);

draw("icon-180.png", 180, { round: false, scale: 1 });
draw("icon-192.png", 192, { round: true, scale: 1 });
draw("icon-512.png", 512, { round: true, scale: 1 });
draw("icon-maskable-512.png", 512, { round: false, scale: 0.8 });
draw("badge-96.png", 96, { round: false, scale: 1.3, only: true });

function draw(name, size, { round, scale, only = false }) {
  const pixels = Buffer.alloc(size * (size * 4 + 1));
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      const at = [((x + 0.5) / size) * 100, ((y + 0.5) / size) * 100];
      const mark = cover(markDistance(at.map((one) => (one - 50) / scale + 50)) * scale, size);
      const ground = only ? 0 : round ? cover(boxDistance(at), size) : 1;
      const colour = only ? [255, 255, 255] : PETROL.map((part, i) => part + (PAPER[i] - part) * mark);
      const alpha = only ? mark : ground;
      pixels.set([...colour.map(Math.round), Math.round(alpha * 255)], y * (size * 4 + 1) + 1 + x * 4);
    }
  }
  writeFileSync(new URL(name, folder), png(size, pixels));
}

function cover(distance, size) {
  return Math.min(1, Math.max(0, 0.5 - (distance * size) / 100));
}

function markDistance(at) {
  const [a, b, c] = TICK.points;
  const tick = Math.min(segment(at, a, b), segment(at, b, c)) - TICK.width / 2;
  return Math.min(tick, segment(at, DESK.from, DESK.to) - DESK.width / 2);
}

function segment([x, y], [ax, ay], [bx, by]) {
  const along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2);
  const t = Math.min(1, Math.max(0, along));
  return Math.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay));
}

function boxDistance([x, y]) {
  const [dx, dy] = [x, y].map((one) => Math.abs(one - 50) - 50 + CORNER);
  return Math.hypot(Math.max(dx, 0), Math.max(dy, 0)) + Math.min(Math.max(dx, dy), 0) - CORNER;
}

function png(size, pixels) {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(size, 0);
  head.writeUInt32BE(size, 4);
  head.set([8, 6, 0, 0, 0], 8);
  const parts = [["IHDR", head], ["IDAT", deflateSync(pixels, { level: 9 })], ["IEND", Buffer.alloc(0)]];
  return Buffer.concat([Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]), ...parts.map(chunk)]);
}

function chunk([kind, data]) {
  const body = Buffer.concat([Buffer.from(kind), data]);
  const whole = Buffer.alloc(body.length + 8);
  whole.writeUInt32BE(data.length, 0);
  body.copy(whole, 4);
  whole.writeUInt32BE(crc(body), body.length + 4);
  return whole;
}

function crc(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit += 1) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
  }
  return (value ^ 0xffffffff) >>> 0;
}
