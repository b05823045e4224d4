//! Wraps the crypto provider of str0m to intercept DTLS results, because str0m 0.24 exposes neither SRTP keys nor
//! nominated addresses.
//!
//! ```text
//! WebRtcPeer ─ builds ─▶ str0m ─ new_dtls ─▶ Listening ─▶ the crate's DTLS
//!     └──────────────── Link ◀── keys, once ────┘
//!     └── asks ─▶ Link ─▶ a datagram of one byte, which str0m addresses like all of DTLS
//! ```
//!
//! Invariants: the handshake is the crate's own and unchanged; keys leave it only by the link to their own leg; the
//! byte never reaches the network. Source: RFC 5764 section 4.2 (layout of the keys in the DTLS export).

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use str0m::config::{CryptoProvider, DtlsCert};
use str0m::crypto::dtls::{
    DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion, SrtpProfile,
};
use str0m::crypto::{CryptoError, from_feature_flags};

use crate::srtp::{MasterKey, Suite};

/// Placeholder in str0m's outgoing datagrams that asks for the address: no protocol of RFC 7983 begins with this byte.
pub(super) const QUESTION: [u8; 1] = [0xff];

thread_local! {
    /// Link of the DTLS instance that was created last on this thread: str0m creates it within its constructor.
    static LATEST: Cell<Option<Arc<Link>>> = const { Cell::new(None) };
}

/// Returns the library's provider, wrapped so that DTLS results are intercepted.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider { dtls_provider: &ListeningProvider, ..from_feature_flags() }
}

/// Returns the link to the str0m instance that was just built on this thread; `None` with another provider.
pub(super) fn take_link() -> Option<Arc<Link>> {
    LATEST.take()
}

/// Link between one leg and its DTLS instance.
#[derive(Default)]
pub(super) struct Link {
    keys: OnceLock<ExportedKeys>,
    asked: AtomicBool,
}

/// SRTP keys of both directions.
#[derive(Clone, Copy)]
pub(super) struct ExportedKeys {
    pub(super) send: MasterKey,
    pub(super) receive: MasterKey,
}

impl Link {
    /// Returns the result of the handshake, once it is complete and if its profile is known.
    pub(super) fn keys(&self) -> Option<ExportedKeys> {
        self.keys.get().copied()
    }

    /// Asks where str0m sends to. The answer is the address of a datagram that contains [`QUESTION`].
    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

#[derive(Debug)]
struct ListeningProvider;

impl DtlsProvider for ListeningProvider {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let inner = from_feature_flags().dtls_provider.new_dtls(cert, now, version, mtu)?;
        let link = Arc::new(Link::default());
        LATEST.set(Some(link.clone()));
        Ok(Box::new(Listening { inner, link }))
    }
}

#[derive(Debug)]
struct Listening {
    inner: Box<dyn DtlsInstance>,
    link: Arc<Link>,
}

impl DtlsInstance for Listening {
    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        if self.link.asked.swap(false, Ordering::Relaxed)
            && let Some(question) = buf.first_mut()
        {
            *question = QUESTION[0];
            return DtlsOutput::Packet(&buf[..1]);
        }
        let output = self.inner.poll_output(buf);
        if let DtlsOutput::KeyingMaterial(material, profile) = &output
            && let Some(keys) = split_keys(material, *profile, self.inner.is_active())
        {
            // Repeated keys would be the same, because there is one handshake.
            let _ = self.link.keys.set(keys);
        }
        output
    }

    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.handle_packet(packet)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.inner.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.close()
    }
}

/// Splits client's key, server's key, client's salt and server's salt; the DTLS client protects with the client's.
fn split_keys(material: &[u8], profile: SrtpProfile, client: bool) -> Option<ExportedKeys> {
    let suite = match profile {
        SrtpProfile::AES128_CM_SHA1_80 => Suite::AesCm128HmacSha1_80,
        SrtpProfile::AEAD_AES_128_GCM => Suite::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => Suite::AeadAes256Gcm,
        _ => return None,
    };
    let (key, both) = (suite.key_len(), suite.key_and_salt_len());
    let salt = both - key;
    if material.len() != 2 * both {
        return None;
    }
    let (keys, salts) = material.split_at(2 * key);
    let of = |server: usize| {
        let (mut bytes, key_at, salt_at) = ([0; 64], server * key, server * salt);
        bytes[..key].copy_from_slice(&keys[key_at..key_at + key]);
        bytes[key..both].copy_from_slice(&salts[salt_at..salt_at + salt]);
        MasterKey::new(suite, &bytes[..both])
    };
    let (ours, theirs) = if client { (0, 1) } else { (1, 0) };
    Some(ExportedKeys { send: of(ours)?, receive: of(theirs)? })
}
