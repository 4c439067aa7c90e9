//! Small files that are what their formats say, built byte by byte.

/// A scan line picture of `lines` lines without compression.
pub fn exr(lines: u32) -> Vec<u8> {
    let mut bytes = b"\x76\x2f\x31\x01\x02\0\0\0".to_vec();
    attribute(&mut bytes, "channels", "chlist", b"Y\0\x01\0\0\0\0\0\0\0\x01\0\0\0\x01\0\0\0\0");
    attribute(&mut bytes, "compression", "compression", b"\0");
    let last = (lines - 1).to_le_bytes();
    let window = [[0; 4], [0; 4], 7_u32.to_le_bytes(), last].concat();
    attribute(&mut bytes, "dataWindow", "box2i", &window);
    attribute(&mut bytes, "displayWindow", "box2i", &window);
    bytes.push(0);
    let first = bytes.len() as u64 + 8 * u64::from(lines);
    for line in 0..u64::from(lines) {
        bytes.extend_from_slice(&(first + line * 24).to_le_bytes());
    }
    for line in 0..lines {
        bytes.extend_from_slice(&line.to_le_bytes());
        bytes.extend_from_slice(&16_u32.to_le_bytes());
        bytes.extend_from_slice(&[0x3c; 16]);
    }
    bytes
}

pub fn attribute(bytes: &mut Vec<u8>, name: &str, kind: &str, value: &[u8]) {
    for text in [name, kind] {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(value);
}

fn atom(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 8).unwrap().to_be_bytes();
    [&length[..], kind, content].concat()
}

pub fn mov() -> Vec<u8> {
    let moov = atom(b"moov", &atom(b"mvhd", &[0; 100]));
    [atom(b"ftyp", b"qt  \0\0\0\0qt  "), atom(b"mdat", &[7; 64]), moov].concat()
}

/// Header and footer partition, with a run-in.
pub fn mxf(run_in: usize) -> Vec<u8> {
    let key = |kind: u8| {
        [b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01", &[kind][..], b"\x04\0"].concat()
    };
    let partition = |kind: u8, this: u64, footer: u64| {
        let mut value = b"\0\x01\0\x03\0\0\0\x01".to_vec();
        for number in [this, 0, footer, 0, 0] {
            value.extend_from_slice(&number.to_be_bytes());
        }
        value.extend_from_slice(&[0; 40]);
        [&key(kind)[..], b"\x83\0\0\x58", &value].concat()
    };
    let body = vec![0; 200];
    let footer = (partition(2, 0, 0).len() + body.len()) as u64;
    [vec![b'-'; run_in], partition(2, 0, footer), body, partition(4, footer, footer)].concat()
}

pub fn dpx() -> Vec<u8> {
    let mut bytes = vec![0; 2048 + 256];
    bytes[..4].copy_from_slice(b"SDPX");
    bytes[4..8].copy_from_slice(&2048_u32.to_be_bytes());
    bytes[16..20].copy_from_slice(&2304_u32.to_be_bytes());
    bytes
}

/// One grey pixel; the checks do not look at the sums of its parts.
pub fn png() -> Vec<u8> {
    [
        &b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55"[..],
        b"\0\0\0\x0aIDAT\x78\x9c\x63\x60\0\0\0\x02\0\x01\x48\xaf\xa4\x71",
        b"\0\0\0\0IEND\xae\x42\x60\x82",
    ]
    .concat()
}

pub fn jpeg() -> Vec<u8> {
    b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xda\0\x02\x11\x22\xff\xd9".to_vec()
}

/// Two strips of eight bytes, little-endian.
pub fn tiff() -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0\x02\0".to_vec();
    for (tag, at) in [(273_u16, 38_u32), (279, 46)] {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&4_u16.to_le_bytes());
        bytes.extend_from_slice(&2_u32.to_le_bytes());
        bytes.extend_from_slice(&at.to_le_bytes());
    }
    bytes.extend_from_slice(&[0; 4]);
    for number in [54_u32, 62, 8, 8] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&[0x55; 16]);
    bytes
}

pub fn wav() -> Vec<u8> {
    let data = [&b"data\x08\0\0\0"[..], &[1; 8]].concat();
    let fmt = b"fmt \x10\0\0\0\x01\0\x01\0\x80\xbb\0\0\0\x77\x01\0\x02\0\x10\0";
    let body = [&b"WAVE"[..], fmt, &data].concat();
    [&b"RIFF"[..], &u32::try_from(body.len()).unwrap().to_le_bytes(), &body].concat()
}
