/**
 * Phones from unmodified third-party SIP stacks behind one interface: `window.tandemPhone`. The driver bundles this file and
 * runs it in a page of the server, whose origin the server accepts.
 *
 *   start ─▶ registered ─▶ incoming | calling ─▶ active ◀─▶ held ─▶ registered
 */
import JsSIP from "jssip";
import { Web } from "sip.js";

const AUDIO = { audio: true, video: false };
/** No ICE servers: the server's address is reachable. */
const ICE = { iceServers: [] };

const remote = document.createElement("audio");
remote.id = "remote";
remote.autoplay = true;
document.body.append(remote);

let phone;
let state = "new";
const waiting = new Set();
const becomes = (next) => {
  state = next;
  for (const look of waiting) look();
};

/** JsSIP: keys as telephone-events, or by INFO where the browser supports no telephone-events with Opus. */
function jssip({ ws_url, sip_uri, username, password }, keys) {
  let session;
  const ua = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(ws_url)],
    uri: sip_uri,
    authorization_user: username,
    password,
    register: true,
  });
  const hear = (connection) => {
    connection.addEventListener("track", ({ track, streams }) => {
      remote.srcObject = streams[0] ?? new MediaStream([track]);
    });
  };
  ua.on("registered", () => state === "new" && becomes("registered"));
  ua.on("registrationFailed", ({ cause }) => becomes(`refused: ${cause}`));
  ua.on("newRTCSession", (event) => {
    session = event.session;
    if (session.connection) hear(session.connection);
    session.on("peerconnection", ({ peerconnection }) => hear(peerconnection));
    session.on("confirmed", () => becomes("active"));
    session.on("ended", () => becomes("registered"));
    session.on("failed", ({ cause }) => becomes(`failed: ${cause}`));
    becomes(event.originator === "remote" ? "incoming" : "calling");
  });
  const renegotiated = (begin) => new Promise((resolve, reject) => begin(resolve) || reject(new Error("JsSIP is not ready")));
  return {
    start: () => ua.start(),
    call: (target, extraHeaders) => ua.call(target, { mediaConstraints: AUDIO, pcConfig: ICE, extraHeaders }),
    dialog: () => ({ callId: session._dialog.id.call_id, ours: session._dialog.id.local_tag, theirs: session._dialog.id.remote_tag }),
    answer: () => session.answer({ mediaConstraints: AUDIO, pcConfig: ICE }),
    hold: async () => {
      await renegotiated((done) => session.hold({}, done));
      becomes("held");
    },
    unhold: async () => {
      await renegotiated((done) => session.unhold({}, done));
      becomes("active");
    },
    press: (key) => session.sendDTMF(key, { duration: 120, interToneGap: 70, transportType: JsSIP.C.DTMF_TRANSPORT[keys] }),
    hangUp: () => session.terminate(),
    stop: () => ua.stop(),
  };
}

/** SIP.js: keys by INFO, as its `SimpleUser` sends them. */
function sipjs({ ws_url, sip_uri, username, password }) {
  // SIP.js 0.21 hangs up when its page is left: it closes its media, and its BYE leaves if the page lives long enough. Its simple
  // user does not pass on the option that would prevent this. These tests are about pages that leave without a BYE.
  window.addEventListener("beforeunload", (event) => event.stopImmediatePropagation());
  const user = new Web.SimpleUser(ws_url, {
    aor: sip_uri,
    media: { constraints: AUDIO, remote: { audio: remote } },
    userAgentOptions: {
      authorizationUsername: username,
      authorizationPassword: password,
      logLevel: "error",
      sessionDescriptionHandlerFactoryOptions: { peerConnectionConfiguration: ICE, iceGatheringTimeout: 2000 },
    },
    delegate: {
      onRegistered: () => state === "new" && becomes("registered"),
      onCallReceived: () => becomes("incoming"),
      onCallAnswered: () => becomes("active"),
      onCallHold: (held) => becomes(held ? "held" : "active"),
      onCallHangup: () => becomes("registered"),
    },
  });
  return {
    start: async () => {
      await user.connect();
      await user.register();
    },
    call: async (target, extraHeaders) => {
      becomes("calling");
      await user.call(target, { extraHeaders });
    },
    dialog: () => ({ callId: user.session.dialog.callId, ours: user.session.dialog.localTag, theirs: user.session.dialog.remoteTag }),
    answer: () => user.answer(),
    hold: () => user.hold(),
    unhold: () => user.unhold(),
    press: (key) => user.sendDTMF(key),
    hangUp: () => user.hangup(),
    stop: () => user.disconnect(),
  };
}

window.tandemPhone = {
  start: ({ library, token, keys }) => {
    phone = { jssip, sipjs }[library](token, keys);
    return phone.start();
  },
  call: (target) => void phone.call(target, []),
  /** Identifiers of the running call's dialog, for the page after a reload. */
  dialog: () => phone.dialog(),
  /** Replaces an existing call (RFC 3891). */
  takeBack: ({ target, dialog: { callId, ours, theirs } }) =>
    void phone.call(target, ["Require: replaces", `Replaces: ${callId};to-tag=${theirs};from-tag=${ours}`]),
  answer: () => phone.answer(),
  hold: () => phone.hold(),
  unhold: () => phone.unhold(),
  press: (key) => phone.press(key),
  hangUp: () => phone.hangUp(),
  stop: () => phone.stop(),
  /** Waits until the phone is in a state; returns the current state when the time has passed. */
  becomes: ({ wanted, within }) =>
    new Promise((resolve) => {
      const end = (value) => {
        clearTimeout(timer);
        waiting.delete(look);
        resolve(value);
      };
      const look = () => state === wanted && end(state);
      const timer = setTimeout(() => end(state), within);
      waiting.add(look);
      look();
    }),
};
