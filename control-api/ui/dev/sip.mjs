// A minimal registrar and caller, enough to look at the agent's page. `media` creates and accepts SDP; the mock's default only lets the
// page ring.
import { randomUUID } from "node:crypto";

export function sipPeer(connection, media, log) {
  const tag = randomUUID().slice(0, 8);
  let contact = "";
  let dialog;
  let gone = () => {};

  const header = (message, name) => new RegExp(`^${name}:\\s*(.*?)\\r?$`, "im").exec(message)?.[1] ?? "";
  const all = (message, name) => [...message.matchAll(new RegExp(`^${name}:.*$`, "gim"))].map((found) => found[0].trim());
  const body = (message) => message.split("\r\n\r\n").slice(1).join("\r\n\r\n");

  function respond(request, status, reason, extra = [], sdp = "") {
    const to = all(request, "To")[0] ?? "";
    connection.send(
      [
        `SIP/2.0 ${status} ${reason}`,
        ...all(request, "Via"),
        all(request, "From")[0],
        /;tag=/.test(to) || status === 100 ? to : `${to};tag=${tag}`,
        all(request, "Call-ID")[0],
        all(request, "CSeq")[0],
        ...extra,
        ...(sdp ? ["Content-Type: application/sdp"] : []),
        `Content-Length: ${Buffer.byteLength(sdp)}`,
        "",
        sdp,
      ].join("\r\n"),
    );
  }

  function request(method, cseq, extra = [], sdp = "") {
    connection.send(
      [
        `${method} ${dialog.target} SIP/2.0`,
        `Via: SIP/2.0/WS mock.invalid;branch=z9hG4bK${method === "CANCEL" ? dialog.branch : randomUUID()}`,
        "Max-Forwards: 70",
        `From: ${dialog.local}`,
        `To: ${dialog.remote}`,
        `Call-ID: ${dialog.id}`,
        `CSeq: ${cseq} ${method}`,
        "Contact: <sip:mock@127.0.0.1;transport=ws>",
        ...extra,
        ...(sdp ? ["Content-Type: application/sdp"] : []),
        `Content-Length: ${Buffer.byteLength(sdp)}`,
        "",
        sdp,
      ].join("\r\n"),
    );
  }

  connection.onText = async (message) => {
    const [first] = message.split("\r\n");
    log(first);
    const method = first.split(" ")[0];
    if (message.trim() === "") return connection.send("\r\n");
    if (method === "SIP/2.0") return handleResponse(message, Number(first.split(" ")[1]));
    if (method === "REGISTER") {
      contact = /<([^>]*)>/.exec(header(message, "Contact"))?.[1] ?? "";
      const plain = header(message, "Contact").replace(/;expires=\d+/, "");
      return respond(message, 200, "OK", [`Contact: ${plain};expires=300`]);
    }
    if (method === "INVITE" && !/;tag=/.test(header(message, "To"))) {
      respond(message, 100, "Trying");
      respond(message, 180, "Ringing", ["Contact: <sip:mock@127.0.0.1;transport=ws>"]);
      dialog = {
        target: /<([^>]*)>/.exec(header(message, "Contact"))[1],
        local: `${header(message, "To")};tag=${tag}`,
        remote: header(message, "From"),
        id: header(message, "Call-ID"),
        cseq: 1,
        invite: message,
      };
      const sdp = await media.accept(body(message));
      setTimeout(() => respond(message, 200, "OK", ["Contact: <sip:mock@127.0.0.1;transport=ws>"], sdp), 1200);
      return;
    }
    if (method === "INVITE" || method === "UPDATE") {
      const sdp = body(message).startsWith("v=") ? await media.reoffer(body(message)) : "";
      return respond(message, 200, "OK", ["Contact: <sip:mock@127.0.0.1;transport=ws>"], sdp);
    }
    if (method === "BYE") {
      media.close();
      gone();
    }
    if (method !== "ACK") respond(message, 200, "OK");
  };

  async function handleResponse(message, status) {
    if (!dialog || !/INVITE/.test(header(message, "CSeq")) || status < 200) return;
    dialog.remote = header(message, "To");
    if (status < 300) dialog.target = /<([^>]*)>/.exec(header(message, "Contact"))?.[1] ?? dialog.target;
    request("ACK", 1);
    if (status < 300) await media.answer(body(message));
    else media.close();
  }

  return {
    /** Rings the page. `headers`: further headers of the INVITE; `onHangup`: called when the page hangs up. */
    async ring(from, headers = [], onHangup = () => {}) {
      if (!contact) return;
      gone = onHangup;
      dialog = {
        target: contact,
        local: `<sip:${from.replaceAll(" ", "")}@127.0.0.1>;tag=${tag}`,
        remote: "<sip:agent@127.0.0.1>",
        id: randomUUID(),
        branch: randomUUID(),
        cseq: 1,
      };
      request("INVITE", 1, headers, await media.offer());
    },
    hangup() {
      if (!dialog) return;
      request("BYE", 2);
      media.close();
    },
  };
}
