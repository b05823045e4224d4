//! Tags, branches and Call-IDs: unguessable, and derived only from the seed.
//!
//! Two kinds prove their origin without any memory: the tag of a refusal is the same for every copy of the request (RFC
//! 3261 section 8.2.7), and the tag of our INVITE shows that it is ours, however late its response arrives.

use aws_lc_rs::hmac;

use crate::sip::header::MAGIC_COOKIE;
use crate::sip::message::Message;

pub(super) struct Tokens {
    key: hmac::Key,
    /// Key from the same seed for tokens that prove nothing; its signatures are longer.
    random: hmac::Key,
    counter: u64,
    /// Random bytes, those not used yet at the end: one signature makes several tokens.
    block: [u8; BLOCK],
    used: usize,
}

/// Bytes of a signature.
const BLOCK: usize = 64;

/// Hexadecimal digits of the mark at the end of an INVITE's branch, and of the random part before it.
const MARK: usize = 20;

/// Returns the mark of a branch that has the form of our INVITE branches.
fn mark_of(branch: &str) -> Option<&str> {
    let own = branch.strip_prefix(MAGIC_COOKIE).filter(|own| own.len() == 2 * MARK && own.is_ascii())?;
    Some(&own[MARK..])
}

impl Tokens {
    pub(super) fn new(seed: &[u8; 32]) -> Tokens {
        let key = hmac::Key::new(hmac::HMAC_SHA256, seed);
        let random = hmac::Key::new(hmac::HMAC_SHA512, seed);
        Tokens { key, random, counter: 0, block: [0; BLOCK], used: BLOCK }
    }

    /// Returns a secret for another use of the same seed.
    pub(super) fn secret(&self, purpose: &str) -> [u8; 32] {
        let mut secret = [0; 32];
        secret.copy_from_slice(self.sign(purpose, &[]).as_ref());
        secret
    }

    /// Returns 80 fresh bits as text.
    pub(super) fn fresh(&mut self) -> String {
        let mut token = String::with_capacity(24);
        push_hex(&mut token, &self.random::<10>());
        token
    }

    /// Returns bytes that were never returned before.
    fn random<const N: usize>(&mut self) -> [u8; N] {
        if self.used + N > BLOCK {
            self.counter += 1;
            self.block.copy_from_slice(hmac::sign(&self.random, &self.counter.to_be_bytes()).as_ref());
            self.used = 0;
        }
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.block[self.used..self.used + N]);
        self.used += N;
        bytes
    }

    /// Returns a random number below `limit`.
    pub(super) fn below(&mut self, limit: u32) -> u32 {
        u32::from_be_bytes(self.random::<4>()) % limit.max(1)
    }

    /// Returns a branch that no other transaction has.
    pub(super) fn branch(&mut self) -> String {
        let mut branch = String::with_capacity(32);
        branch.push_str(MAGIC_COOKIE);
        push_hex(&mut branch, &self.random::<10>());
        branch
    }

    /// Returns a branch for an INVITE that a call to `called` has caused; the branch identifies that call if the INVITE
    /// comes back.
    pub(super) fn invite_branch(&mut self, called: &str) -> String {
        let mark = self.loop_mark(called);
        self.marked_branch(&mark)
    }

    /// Returns a branch for a request that is sent again in another transaction, caused by the same call.
    pub(super) fn branch_again(&mut self, before: Option<&str>) -> String {
        match before.and_then(mark_of) {
            Some(mark) => self.marked_branch(mark),
            None => self.branch(),
        }
    }

    /// Returns whether [`Tokens::invite_branch`] made this branch for a call to `called` (RFC 3261 section 16.3, step
    /// 4).
    pub(super) fn is_branch_of(&self, branch: &str, called: &str) -> bool {
        mark_of(branch).is_some_and(|mark| {
            let expected = self.loop_mark(called);
            aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_bytes(), mark.as_bytes()).is_ok()
        })
    }

    fn marked_branch(&mut self, mark: &str) -> String {
        let mut branch = String::with_capacity(MAGIC_COOKIE.len() + 2 * MARK);
        branch.push_str(MAGIC_COOKIE);
        push_hex(&mut branch, &self.random::<{ MARK / 2 }>());
        branch.push_str(mark);
        branch
    }

    fn loop_mark(&self, called: &str) -> String {
        hex::encode(&self.sign("loop", &[called.as_bytes()]).as_ref()[..MARK / 2])
    }

    /// Returns our tag for an INVITE that we send.
    pub(super) fn invite_tag(&mut self, call_id: &str) -> String {
        let mut tag = self.fresh();
        tag.truncate(12);
        let proof = self.sign("invite", &[call_id.as_bytes(), tag.as_bytes()]);
        push_hex(&mut tag, &proof.as_ref()[..6]);
        tag
    }

    /// Returns whether [`Tokens::invite_tag`] made `tag`.
    pub(super) fn is_invite_tag(&self, call_id: &str, tag: &str) -> bool {
        let Some((random, proof)) = tag.split_at_checked(12) else { return false };
        let expected = self.sign("invite", &[call_id.as_bytes(), random.as_bytes()]);
        let expected = hex::encode(&expected.as_ref()[..6]);
        aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_bytes(), proof.as_bytes()).is_ok()
    }

    /// Returns the To tag of a stateless response: the same for every copy of the request.
    pub(super) fn reply_tag(&self, request: &Message<'_>) -> String {
        let call_id = request.call_id().unwrap_or_default();
        let from_tag = request.from().ok().and_then(|from| from.tag()).unwrap_or_default();
        hex::encode(&self.sign("reply", &[call_id.as_bytes(), from_tag.as_bytes()]).as_ref()[..10])
    }

    /// Returns a random sort key: among several, the one with weight w is lowest with a probability in proportion to w
    /// (RFC 2782).
    pub(super) fn rank(&mut self, weight: u16) -> u64 {
        let chance = f64::from(self.below(1 << 30) + 1) / f64::from(1 << 30);
        // Weight 0 has a small chance where others have more.
        let weight = f64::from(weight).max(0.01);
        (-chance.ln() / weight * 1e9) as u64
    }

    fn sign(&self, purpose: &str, parts: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign()
    }
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend([byte >> 4, byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_invite_tags_are_recognised() {
        let mut tokens = Tokens::new(&[7; 32]);
        let tag = tokens.invite_tag("call");
        assert!(tokens.is_invite_tag("call", &tag));
        assert!(!tokens.is_invite_tag("other", &tag));
        for forged in ["", "abc", "0123456789abcdef01234567", &tag[..23]] {
            assert!(!tokens.is_invite_tag("call", forged), "{forged}");
        }
        assert_ne!(tag, tokens.invite_tag("call"));
    }

    #[test]
    fn a_branch_identifies_the_call_that_caused_it_also_after_a_retry() {
        let mut tokens = Tokens::new(&[7; 32]);
        let branch = tokens.invite_branch("+15550100");
        let again = tokens.branch_again(Some(&branch));
        assert!(
            branch != again && tokens.is_branch_of(&branch, "+15550100") && tokens.is_branch_of(&again, "+15550100")
        );
        assert!(!tokens.is_branch_of(&branch, "+15550101"));
        let (other, foreign) = (tokens.branch(), Tokens::new(&[8; 32]).invite_branch("+15550100"));
        for branch in [other.as_str(), &foreign, "", "z9hG4bK", &branch[..40]] {
            assert!(!tokens.is_branch_of(branch, "+15550100"), "{branch}");
        }
        assert!(mark_of(&tokens.branch_again(Some(&other))).is_none());
    }

    #[test]
    fn no_two_fresh_tokens_are_alike() {
        let mut tokens = Tokens::new(&[7; 32]);
        let mut seen = std::collections::HashSet::new();
        for n in 0..10_000 {
            assert!(seen.insert(tokens.fresh()), "token {n}");
            tokens.below(n + 1);
        }
    }

    #[test]
    fn the_chance_of_the_lowest_rank_is_proportional_to_the_weight() {
        let mut tokens = Tokens::new(&[7; 32]);
        let heavy = (0..4_000).filter(|_| tokens.rank(30) < tokens.rank(10)).count();
        assert!((2_850..3_150).contains(&heavy), "3 of 4 expected: {heavy} of 4000");
        assert!((0..200).all(|_| tokens.rank(1) < tokens.rank(0)) || tokens.rank(0) > 0);
    }
}
