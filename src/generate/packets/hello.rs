//! First words of a conversation: a ClientHello that names its server, a request, a query.

/// A TLS 1.2 and 1.3 ClientHello (RFC 8446 section 4.1.2) for a host.
pub(super) fn client_hello(host: &str, random: u64) -> Vec<u8> {
    let mut extensions = vec![];
    let name = host.as_bytes();
    let list = [&[0][..], &short(name.len()), name].concat();
    extension(
        &mut extensions,
        0,
        &[&short(list.len())[..], &list].concat(),
    );
    // supported groups, signature algorithms, ALPN, versions
    extension(&mut extensions, 10, &[0, 4, 0, 29, 0, 23]);
    extension(&mut extensions, 13, &[0, 4, 4, 3, 8, 4]);
    extension(&mut extensions, 16, b"\0\x0c\x02h2\x08http/1.1");
    extension(&mut extensions, 43, &[4, 3, 4, 3, 3]);
    let mut body = vec![3, 3];
    (0..4u64).for_each(|n| body.extend(random.rotate_left(n as u32 * 13).to_be_bytes()));
    body.push(0);
    body.extend([0, 6, 0x13, 1, 0x13, 2, 0xc0, 0x2f, 1, 0]);
    body.extend(short(extensions.len()));
    body.extend(extensions);
    let handshake = [&[1, 0][..], &short(body.len()), &body].concat();
    [&[22, 3, 1][..], &short(handshake.len()), &handshake].concat()
}

/// A request (RFC 9112).
pub(super) fn request(host: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: flowhouse\r\nAccept: */*\r\n\r\n")
        .into_bytes()
}

/// A query for the address of a host, or the answer to it (RFC 1035 section 4).
pub(super) fn name_message(host: &str, id: u16, answer: bool) -> Vec<u8> {
    let mut text = id.to_be_bytes().to_vec();
    text.extend(if answer { [0x81, 0x80] } else { [1, 0] });
    text.extend([0, 1, 0, u8::from(answer), 0, 0, 0, 0]);
    for label in host.split('.') {
        text.push(label.len() as u8);
        text.extend(label.as_bytes());
    }
    text.extend([0, 0, 1, 0, 1]);
    if answer {
        // the name again, A, IN, a minute, four bytes
        text.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    }
    text
}

fn extension(out: &mut Vec<u8>, kind: u16, body: &[u8]) {
    out.extend(kind.to_be_bytes());
    out.extend(short(body.len()));
    out.extend(body);
}

fn short(n: usize) -> [u8; 2] {
    (n as u16).to_be_bytes()
}
