//! Whatever can be read can be written, and what was written reads the same.

#![no_main]

use dantetimesync::ptp::wire::Message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(message) = Message::parse(input) else { return };
    let mut buffer = vec![0xaa; message.encoded_len()];
    let written = message.to_bytes(&mut buffer).expect("the buffer is as long as the message says");
    assert_eq!(written.len(), message.encoded_len());
    assert_eq!(Message::parse(written), Ok(message), "what was written reads differently");

    // One octet short of it is refused, by the writer and by the reader.
    let short = written.len() - 1;
    assert!(Message::parse(&written[..short]).is_err(), "a message cut by one octet was read");
    assert!(message.to_bytes(&mut vec![0; short]).is_none(), "written into a buffer that is too short");
});
