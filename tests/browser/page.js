/**
 * Runs in every page before its own scripts: records audio, and measures times of peer connections. The phone belongs to
 * the page; this script neither answers nor dials nor changes SDP.
 */
{
  // Noise suppression would remove a steady tone, and gain control would change its level.
  const devices = navigator.mediaDevices;
  if (devices) {
    const open = devices.getUserMedia.bind(devices);
    devices.getUserMedia = (wanted) => {
      const audio = typeof wanted?.audio === "object" ? wanted.audio : {};
      const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      return open({ ...wanted, audio: { ...audio, ...plain } });
    };
  }

  /** Newest connection: time at which its answer was applied, and at which its first frame was decoded. */
  let watch;

  const decoded = async (connection) => {
    for (const stats of (await connection.getStats()).values()) {
      // Counts samples that came out of the decoder, not out of concealment.
      if (stats.type === "inbound-rtp" && stats.totalSamplesReceived > (stats.concealedSamples ?? 0)) return true;
    }
    return false;
  };

  const observe = async (connection) => {
    const mine = { connection, applied: performance.now(), firstFrame: undefined };
    watch = mine;
    while (connection.connectionState !== "closed" && mine === watch) {
      if (await decoded(connection)) {
        mine.firstFrame = performance.now();
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 4));
    }
  };

  for (const name of ["setLocalDescription", "setRemoteDescription"]) {
    const apply = RTCPeerConnection.prototype[name];
    RTCPeerConnection.prototype[name] = async function (description, ...rest) {
      const result = await apply.call(this, description, ...rest);
      if (description?.type === "answer") void observe(this);
      return result;
    };
  }

  /** Like `hear`, for Firefox, whose audio contexts never start on a machine without a sound card; its recorder works. */
  const record = async (stream, count) => {
    const recorder = new MediaRecorder(stream, { audioBitsPerSecond: 128_000 });
    const chunks = [];
    recorder.ondataavailable = ({ data }) => chunks.push(data);
    const begun = new Promise((resolve) => (recorder.onstart = resolve));
    const ended = new Promise((resolve) => (recorder.onstop = resolve));
    recorder.start();
    await begun;
    // The first and last frames may be missing.
    await new Promise((resolve) => setTimeout(resolve, count / 48 + 200));
    recorder.stop();
    await ended;
    const file = await new Blob(chunks).arrayBuffer();
    const audio = await new OfflineAudioContext(1, 48_000, 48_000).decodeAudioData(file);
    return [...audio.getChannelData(0).slice(0, count)].map((value) => Math.round(value * 32767));
  };

  /** Every WebSocket that the page has opened. */
  const sockets = [];
  window.WebSocket = class extends WebSocket {
    constructor(...parameters) {
      super(...parameters);
      sockets.push(this);
    }
  };

  window.tandemTest = {
    /** Closes the page's WebSockets unexpectedly and returns the number of open ones. */
    dropSockets() {
      const open = sockets.filter((socket) => socket.readyState === 1);
      for (const socket of open) socket.close();
      return open.length;
    },

    /** Position of an `audio` element in seconds, and whether it plays. */
    player(selector) {
      const { currentTime, duration, paused } = document.querySelector(selector);
      return { at: currentTime, duration, plays: !paused };
    },

    /** Number of open WebSockets. */
    openSockets: () => sockets.filter((socket) => socket.readyState === 1).length,

    /** Milliseconds from applying the answer to the first decoded frame; `null` before that frame. */
    firstFrame: () => (watch?.firstFrame === undefined ? null : watch.firstFrame - watch.applied),

    /** Returns the next `count` samples (48 kHz, 16 bits) of the page's audio output. */
    async hear(count) {
      const stream = document.querySelector("#remote, #supervision-sound").srcObject;
      if (navigator.userAgent.includes("Firefox")) return record(stream, count);
      const context = new AudioContext({ sampleRate: 48000 });
      await context.resume();
      const source = context.createMediaStreamSource(stream);
      const ear = context.createScriptProcessor(4096, 1, 1);
      const samples = [];
      await new Promise((resolve) => {
        ear.onaudioprocess = ({ inputBuffer }) => {
          for (const value of inputBuffer.getChannelData(0)) samples.push(Math.round(value * 32767));
          if (samples.length >= count) resolve();
        };
        source.connect(ear);
        ear.connect(context.destination);
      });
      source.disconnect();
      await context.close();
      return samples.slice(0, count);
    },

    /** Returns the local candidate of the pair in use. */
    async path() {
      const stats = await watch.connection.getStats();
      for (const transport of stats.values()) {
        if (transport.type !== "transport") continue;
        const pair = stats.get(transport.selectedCandidatePairId);
        const local = pair && stats.get(pair.localCandidateId);
        if (local) return { type: local.candidateType, relay: local.relayProtocol ?? null, url: local.url ?? null };
      }
      return {};
    },

    /** Returns the audio statistics of the newest connection. */
    async audio() {
      const found = {};
      if (!watch) return found;
      for (const stats of (await watch.connection.getStats()).values()) {
        if (stats.type === "codec") found.codec = stats.mimeType;
        if (stats.type === "inbound-rtp") found.packetsReceived = stats.packetsReceived;
        if (stats.type === "outbound-rtp") found.packetsSent = stats.packetsSent;
      }
      return found;
    },
  };
}
