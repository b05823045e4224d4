//! Declarations of the parts of libpocketsphinx and libsphinxbase (0.8 + 5prealpha, Debian's) that [`crate::recogniser`] calls.
//! Written by hand from the installed headers; this module contains only declarations.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};

/// `ps_decoder_t`: owned from `ps_init` to `ps_free`.
#[repr(C)]
pub(crate) struct PsDecoder {
    _opaque: [u8; 0],
}

/// `cmd_ln_t`: reference-counted; `ps_init` keeps its own reference.
#[repr(C)]
pub(crate) struct CmdLn {
    _opaque: [u8; 0],
}

/// `arg_t`: a static table inside the library.
#[repr(C)]
pub(crate) struct ArgDefinitions {
    _opaque: [u8; 0],
}

/// `logmath_t`: owned by the decoder.
#[repr(C)]
pub(crate) struct LogMath {
    _opaque: [u8; 0],
}

/// `fsg_model_t`: reference-counted; `ps_set_fsg` keeps its own reference.
#[repr(C)]
pub(crate) struct FsgModel {
    _opaque: [u8; 0],
}

/// `ps_seg_t`: an iterator over the words of the best hypothesis; it frees itself at the end.
#[repr(C)]
pub(crate) struct PsSegment {
    _opaque: [u8; 0],
}

// Linked by build.rs through pkg-config.
unsafe extern "C" {
    pub(crate) fn err_set_logfp(stream: *mut libc::FILE);

    pub(crate) fn cmd_ln_parse_r(
        update: *mut CmdLn,
        definitions: *const ArgDefinitions,
        count: i32,
        arguments: *mut *mut c_char,
        strict: i32,
    ) -> *mut CmdLn;
    pub(crate) fn cmd_ln_free_r(config: *mut CmdLn) -> c_int;

    pub(crate) fn ps_args() -> *const ArgDefinitions;
    pub(crate) fn ps_init(config: *mut CmdLn) -> *mut PsDecoder;
    pub(crate) fn ps_free(decoder: *mut PsDecoder) -> c_int;
    pub(crate) fn ps_get_logmath(decoder: *mut PsDecoder) -> *mut LogMath;
    pub(crate) fn ps_add_word(
        decoder: *mut PsDecoder,
        word: *const c_char,
        phones: *const c_char,
        update: c_int,
    ) -> c_int;
    pub(crate) fn ps_set_fsg(decoder: *mut PsDecoder, name: *const c_char, grammar: *mut FsgModel) -> c_int;
    pub(crate) fn ps_set_search(decoder: *mut PsDecoder, name: *const c_char) -> c_int;
    pub(crate) fn ps_start_stream(decoder: *mut PsDecoder) -> c_int;
    pub(crate) fn ps_start_utt(decoder: *mut PsDecoder) -> c_int;
    pub(crate) fn ps_process_raw(
        decoder: *mut PsDecoder,
        samples: *const i16,
        count: usize,
        no_search: c_int,
        full_utterance: c_int,
    ) -> c_int;
    pub(crate) fn ps_end_utt(decoder: *mut PsDecoder) -> c_int;
    pub(crate) fn ps_seg_iter(decoder: *mut PsDecoder) -> *mut PsSegment;
    pub(crate) fn ps_seg_next(segment: *mut PsSegment) -> *mut PsSegment;
    pub(crate) fn ps_seg_word(segment: *mut PsSegment) -> *const c_char;
    pub(crate) fn ps_seg_frames(segment: *mut PsSegment, first: *mut c_int, last: *mut c_int);

    pub(crate) fn fsg_model_read(stream: *mut libc::FILE, logmath: *mut LogMath, language_weight: f32)
    -> *mut FsgModel;
    pub(crate) fn fsg_model_free(grammar: *mut FsgModel) -> c_int;
}
