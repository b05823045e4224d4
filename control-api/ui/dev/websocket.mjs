// The parts of RFC 6455 that the mock needs: handshake, unfragmented text frames, ping, close.
import { createHash } from "node:crypto";

export function upgrade(request, socket, protocol) {
  const accept = createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: ${protocol}\r\n\r\n`,
  );
  const connection = { onText: () => {}, onClose: () => {}, send: (text) => socket.write(frame(1, Buffer.from(text))) };
  let rest = Buffer.alloc(0);
  socket.on("data", (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const found = parse(rest);
      if (!found) return;
      rest = rest.subarray(found.size);
      if (found.kind === 1) connection.onText(found.payload.toString());
      else if (found.kind === 9) socket.write(frame(10, found.payload));
      else if (found.kind === 8) socket.end(frame(8, found.payload));
    }
  });
  socket.on("error", () => {});
  socket.on("close", () => connection.onClose());
  return connection;
}

function frame(kind, payload) {
  const length = payload.length;
  const head = length < 126 ? Buffer.from([0x80 | kind, length]) : Buffer.from([0x80 | kind, 126, length >> 8, length & 255]);
  return Buffer.concat([head, payload]);
}

function parse(bytes) {
  if (bytes.length < 6) return undefined;
  let length = bytes[1] & 127;
  let at = 2;
  if (length === 126) [length, at] = [bytes.readUInt16BE(2), 4];
  else if (length === 127) [length, at] = [Number(bytes.readBigUInt64BE(2)), 10];
  if (bytes.length < at + 4 + length) return undefined;
  const mask = bytes.subarray(at, at + 4);
  const payload = Buffer.from(bytes.subarray(at + 4, at + 4 + length).map((byte, index) => byte ^ mask[index & 3]));
  return { kind: bytes[0] & 15, payload, size: at + 4 + length };
}
