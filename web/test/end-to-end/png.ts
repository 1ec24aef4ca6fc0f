// Writes a picture of a page smaller than Chromium does: flat areas compress best without filters.

import { crc32, deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** Returns the same picture, an RGB picture with eight bits a channel, without filters. */
export function recompress(png: Buffer): Buffer {
  const chunks = readChunks(png);
  const header = chunks.find(({ type }) => type === "IHDR")?.data ?? Buffer.alloc(13);
  if (header[8] !== 8 || header[9] !== 2) throw new Error("The picture is not RGB.");
  const parts = chunks.filter(({ type }) => type === "IDAT").map(({ data }) => data);
  const stride = header.readUInt32BE(0) * 3;
  const rows = unfilter(inflateSync(Buffer.concat(parts)), stride);
  return Buffer.concat([
    SIGNATURE,
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(rows, { level: 9, memLevel: 9 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

function readChunks(png: Buffer): { type: string; data: Buffer }[] {
  const chunks = [];
  for (let at = SIGNATURE.length; at < png.length;) {
    const length = png.readUInt32BE(at);
    const type = png.toString("latin1", at + 4, at + 8);
    chunks.push({ type, data: png.subarray(at + 8, at + 8 + length) });
    at += length + 12;
  }
  return chunks;
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  checksum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, checksum]);
}

/** Undoes the filter of each row. Each row begins with the number of its filter. */
function unfilter(filtered: Buffer, stride: number): Buffer {
  const rows = Buffer.from(filtered);
  const length = stride + 1;
  for (let start = 0; start < rows.length; start += length) {
    const filter = rows[start];
    rows[start] = 0;
    for (let i = start + 1; i < start + length; i++) {
      const isFirst = i - start <= 3;
      const left = isFirst ? 0 : (rows[i - 3] ?? 0);
      const up = start === 0 ? 0 : (rows[i - length] ?? 0);
      const corner = isFirst || start === 0 ? 0 : (rows[i - length - 3] ?? 0);
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter ?? 0] ?? 0;
      rows[i] = (rows[i] ?? 0) + guess;
    }
  }
  return rows;
}

function paeth(left: number, up: number, corner: number): number {
  const guess = left + up - corner;
  const [a, b, c] = [left, up, corner].map((value) => Math.abs(guess - value)) as [
    number,
    number,
    number,
  ];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}
