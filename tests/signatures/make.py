#!/usr/bin/env python3
"""Writes starter.pcap from starter.toml: each case twice, once as it must fire and once as it just must not.

The inside host is 10.1.H.L for what must fire and 10.2.H.L for what must not, where H * 200 + L - 1 is the place of the case in the file; the other
end is outside. Nothing here is random: the same text makes the same bytes.
"""
import pathlib
import socket
import struct
import tomllib

HERE = pathlib.Path(__file__).parent
FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32}


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip(src, dst, proto, payload, ident=1, offset=0x4000, ttl=64):
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), ident, offset, ttl, proto, 0)
    ends = socket.inet_aton(src) + socket.inet_aton(dst)
    head = head[:10] + struct.pack("!H", checksum(head + ends)) + ends
    return b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0" + head + payload


def summed(src, dst, proto, segment, at):
    pseudo = socket.inet_aton(src) + socket.inet_aton(dst) + struct.pack("!BBH", 0, proto, len(segment))
    return segment[:at] + struct.pack("!H", checksum(pseudo + segment)) + segment[at + 2 :]


def tcp(src, dst, seq, ack, flags, data=b"", urgent=0, options=b"", window=65535):
    offset = (5 + len(options) // 4) << 4
    ports = struct.pack("!HH", src[1], dst[1])
    head = ports + struct.pack("!IIBBHHH", seq % 2**32, ack % 2**32, offset, flags, window, 0, urgent)
    return ip(src[0], dst[0], 6, summed(src[0], dst[0], 6, head + options + data, 16))


def udp(src, dst, data):
    head = struct.pack("!HHHH", src[1], dst[1], 8 + len(data), 0)
    return ip(src[0], dst[0], 17, summed(src[0], dst[0], 17, head + data, 6))


def echo(src, dst, data):
    message = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + data
    return ip(src[0], dst[0], 1, message[:2] + struct.pack("!H", checksum(message)) + message[4:])


class Session:
    """A TCP connection: its packets in order, the last one still to be acknowledged by the next."""

    def __init__(self, client, server, mss=1400):
        self.ends, self.mss, self.packets = (client, server), mss, []
        self.seqs = [1000, 5000]

    def add(self, side, flags, data=b"", **more):
        me, you = self.ends[side], self.ends[1 - side]
        ack = self.seqs[1 - side] if flags & 16 else 0
        self.packets.append(tcp(me, you, self.seqs[side], ack, flags, data, **more))
        self.seqs[side] += len(data) + bool(flags & 3)

    def open(self):
        self.add(0, 2)
        self.add(1, 18)
        self.add(0, 16)
        return self

    def say(self, side, data):
        for at in range(0, len(data), self.mss):
            self.add(side, 24, data[at : at + self.mss])
            self.add(1 - side, 16)
        return self

    def close(self):
        self.add(0, 17)
        self.add(1, 17)
        self.add(0, 16)
        return self.packets


def packets(case, said, inside, outside, port):
    client, server = (outside, inside) if case.get("from_outside") else (inside, outside)
    client, server = (client, port), (server, case.get("port", 0))
    texts = [text.encode("latin-1") for text in said]
    match case["kind"]:
        case "icmp":
            return [echo(client, server, texts[0])]
        case "flags":
            return [tcp(client, server, 1000, 0, sum(FLAGS[c] for c in said[0]))]
        case "udp":
            ways = {62: (client, server), 60: (server, client)}
            return [udp(*ways[text[0]], text[1:]) for text in texts]
    session = Session(client, server).open()
    for text in texts:
        session.say(b"><".index(text[:1]), text[1:])
    return session.close()


def write(path, timed):
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for micros, packet in timed:
            out.write(struct.pack("<IIII", micros // 10**6, micros % 10**6, len(packet), len(packet)) + packet)


def main():
    cases = tomllib.loads((HERE / "starter.toml").read_text())["case"]
    timed = []
    for place, case in enumerate(cases):
        host = f"{place // 200}.{place % 200 + 1}"
        for kind, (net, outside) in enumerate((("10.1", "198.51.100"), ("10.2", "203.0.113"))):
            said = case.get(("hit", "miss")[kind])
            if said is None:
                continue
            at = (1_700_000_000 + 60 * place + 30 * kind) * 10**6
            for time in range(case.get("times", (1, 1))[kind]):
                ends = f"{net}.{host}", f"{outside}.{place % 200 + 1}"
                for packet in packets(case, said, *ends, 40_000 + time):
                    timed.append((at, packet))
                    at += 1_000
    write(HERE / "starter.pcap", timed)


if __name__ == "__main__":
    main()
