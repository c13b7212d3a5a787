#!/usr/bin/env python3
"""Makes the captures of this folder, and beside each what its rows must say: `NAME_template.pcap`, `NAME_options.pcap` and
`NAME_data.pcap` (one part is enough), and `NAME.ndjson`, where `datagram` counts within the part.

Both come from the numbers below and the layouts of the protocols (RFC 3954, RFC 7011, RFC 5103, sFlow version 5, Cisco's
tables for NetFlow 5 and 7). Nothing of Flowhouse runs here, so a fault of its decoder cannot hide in what is expected.

    python3 tests/captures/make.py     # writes the same bytes each time
"""

import ipaddress
import json
import pathlib
import struct

HERE = pathlib.Path(__file__).parent
NOW = 1_767_225_600  # 2026-01-01 00:00:00 UTC
UPTIME = 3_600_000  # the exporters have been up for an hour, milliseconds
BOOT_MS = NOW * 1000 - UPTIME
COLLECTOR = "192.0.2.254"


def ip(text):
    return ipaddress.ip_address(text).packed


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def words(*values):
    return struct.pack(f">{len(values)}I", *values)


def halves(*values):
    return struct.pack(f">{len(values)}H", *values)


def ipv4(source, destination, proto, payload, tos=0, ttl=64):
    head = struct.pack(">BBHHHBBH", 0x45, tos, 20 + len(payload), 1, 0, ttl, proto, 0)
    head += ip(source) + ip(destination)
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + halves(~total & 0xFFFF) + head[12:] + payload


def pcap(name, exporter, port, payloads):
    """Ethernet, microseconds; all in the second NOW."""
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for n, payload in enumerate(payloads):
        udp = halves(50_000, port, 8 + len(payload), 0) + payload
        frame = mac("02:00:00:00:00:02") + mac("02:00:00:00:00:01") + halves(0x0800)
        frame += ipv4(exporter, COLLECTOR, 17, udp)
        out += struct.pack("<IIII", NOW, n, len(frame), len(frame)) + frame
    (HERE / name).write_bytes(out)


def expect(name, rows):
    lines = [json.dumps(row, separators=(",", ":")) + "\n" for row in rows]
    (HERE / name).write_text("".join(lines))


def row(datagram, record, exporter, domain, origin, **fields):
    head = {"datagram": datagram, "record": record, "exporter": exporter, "observation_domain": domain}
    return head | {"origin": origin, "received_at_ms": NOW * 1000} | fields


def fixed(version):
    """NetFlow 5 and 7: two flows; version 5 says that 1 in 100 packets was sampled, engine 1 of type 0."""
    exporter = f"192.0.2.{version}"
    flows = [
        dict(src_addr="198.51.100.7", dst_addr="203.0.113.9", next_hop="192.0.2.129", in_if=3, out_if=4, packets=12,
             bytes=9_000, start_ms=BOOT_MS + 3_590_000, end_ms=BOOT_MS + 3_599_000, src_port=50_123, dst_port=443,
             tcp_flags=0x1B, proto=6, tos=0xB8, src_as=64_500, dst_as=64_501, src_mask=24, dst_mask=16),
        dict(src_addr="203.0.113.9", dst_addr="198.51.100.7", next_hop="0.0.0.0", in_if=4, out_if=0, packets=1,
             bytes=4_294_967_295, start_ms=BOOT_MS, end_ms=BOOT_MS + UPTIME, src_port=53, dst_port=53,
             tcp_flags=0, proto=17, tos=0, src_as=0, dst_as=0, src_mask=0, dst_mask=32),
    ]  # fmt: skip
    tail = halves(1, 1 << 14 | 100) if version == 5 else words(0)
    message = halves(version, len(flows)) + words(UPTIME, NOW, 500_000_000, 1_000) + tail
    for f in flows:
        message += ip(f["src_addr"]) + ip(f["dst_addr"]) + ip(f["next_hop"]) + halves(f["in_if"], f["out_if"])
        message += words(f["packets"], f["bytes"], f["start_ms"] - BOOT_MS, f["end_ms"] - BOOT_MS)
        message += halves(f["src_port"], f["dst_port"]) + bytes([0, f["tcp_flags"], f["proto"], f["tos"]])
        message += halves(f["src_as"], f["dst_as"]) + bytes([f["src_mask"], f["dst_mask"], 0, 0])
        message += ip("192.0.2.250") if version == 7 else b""
    sampling = (
        dict(sampling_interval=100, sampling_source="header")
        if version == 5
        else dict(sampling_source="unknown", flags=["sampling_unknown"])
    )
    # the header's clock has 0.5 s more than whole seconds, and the uptime counts from it
    late = lambda f: f | dict(start_ms=f["start_ms"] + 500, end_ms=f["end_ms"] + 500)  # noqa: E731
    domain = 1 if version == 5 else 0
    rows = [
        row(1, n, exporter, domain, f"netflow{version}", **late(f), dscp=f["tos"] >> 2, ecn=f["tos"] & 3, **sampling)
        for n, f in enumerate(flows, 1)
    ]
    pcap(f"switch_v{version}_data.pcap", exporter, 2055, [message])
    expect(f"switch_v{version}.ndjson", rows)


def flowset(number, body):
    """A set of NetFlow 9 or IPFIX, padded to four bytes."""
    body += b"\0" * (-len(body) % 4)
    return halves(number, 4 + len(body)) + body


def v9(sequence, domain, count, *sets):
    return halves(9, count) + words(UPTIME, NOW, sequence, domain) + b"".join(sets)


def ipfix(sequence, domain, *sets):
    body = b"".join(sets)
    return halves(10, 16 + len(body)) + words(NOW, sequence, domain) + body


def layout(number, fields):
    return halves(number, len(fields)) + b"".join(halves(*f) for f in fields)


def router_v9():
    """A sampler and an application that options data tell of; IPv4 and IPv6; times by uptime."""
    exporter, domain = "192.0.2.9", 77
    tail = [(7, 2), (11, 2), (4, 1), (5, 1), (10, 2), (14, 4), (1, 4), (2, 4), (22, 4), (21, 4), (48, 1), (95, 4)]
    template = flowset(0, layout(256, [(8, 4), (12, 4), *tail]) + layout(257, [(27, 16), (28, 16), (31, 3), *tail]))
    # scope system; sampler id, mode, interval, and: application id, name
    samplers = halves(300, 4, 12) + halves(1, 4) + halves(48, 1, 49, 1, 50, 4)
    names = halves(301, 4, 8) + halves(1, 4) + halves(95, 4, 96, 16)
    options = [
        flowset(1, samplers),
        flowset(1, names),
        flowset(300, words(0) + bytes([7, 2]) + words(1_000)),
        flowset(301, words(0) + bytes([13, 0, 1, 0]) + b"our-erp".ljust(16, b"\0")),
    ]
    flows = [
        dict(src_addr="198.51.100.1", dst_addr="203.0.113.1", src_port=443, dst_port=40_000, proto=6, tos=0x28,
             in_if=10, out_if=70_000, bytes=150_000, packets=100, first=3_000_000, last=3_060_000),
        dict(src_addr="2001:db8::1", dst_addr="2001:db8:1::2", label=0xABCDE, src_port=5_004, dst_port=5_006, proto=17,
             tos=0xB9, in_if=11, out_if=10, bytes=0, packets=0, first=3_599_999, last=3_600_000),
    ]  # fmt: skip
    sets, rows = b"", []
    for n, f in enumerate(flows, 1):
        record = ip(f["src_addr"]) + ip(f["dst_addr"])
        fields = {k: v for k, v in f.items() if k not in ("first", "last", "label")}
        if "label" in f:
            record += f["label"].to_bytes(3, "big")
            fields["ipv6_flow_label"] = f["label"]
        record += halves(f["src_port"], f["dst_port"]) + bytes([f["proto"], f["tos"]]) + halves(f["in_if"])
        record += words(f["out_if"], f["bytes"], f["packets"], f["first"], f["last"]) + bytes([7, 13, 0, 1, 0])
        sets += flowset(257 if "label" in f else 256, record)
        times = dict(start_ms=BOOT_MS + f["first"], end_ms=BOOT_MS + f["last"])
        told = dict(app_id="0d000100", app="our-erp", sampling_interval=1_000, sampling_source="options")
        marks = dict(dscp=f["tos"] >> 2, ecn=f["tos"] & 3)
        rows.append(row(1, n, exporter, domain, "netflow9", **fields, **times, **told, **marks))
    pcap("router_v9_template.pcap", exporter, 2055, [v9(1, domain, 2, template)])
    pcap("router_v9_options.pcap", exporter, 2055, [v9(2, domain, 4, *options)])
    pcap("router_v9_data.pcap", exporter, 2055, [v9(3, domain, 2, sets)])
    expect("router_v9.ndjson", rows)


def gateway_ipfix():
    """Both directions in a record (RFC 5103), texts of variable length in both forms, an element nobody knows, reduced
    lengths, absolute times, a sampling interval for the domain."""
    exporter, domain = "192.0.2.10", 5
    reverse = [(0x8000 | 1, 8), (0x8000 | 2, 8), (0x8000 | 6, 1)]
    fields = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (1, 3), (2, 2), (6, 1), (152, 8), (153, 8), (371, 0xFFFF)]
    fields += [(0x8000 | 99, 0xFFFF), (10, 4), (14, 4), (136, 1)]
    template = halves(400, len(fields) + len(reverse)) + b"".join(
        halves(*f) + (words(64_999) if f[0] == 0x8000 | 99 else b"") for f in fields
    )
    template += b"".join(halves(*f) + words(29_305) for f in reverse)
    # options of the observation domain (149): samplingInterval
    sampling = halves(401, 2, 1) + halves(149, 4, 34, 4)
    options = [flowset(3, sampling), flowset(401, words(domain, 64))]
    start, end = NOW * 1000 - 61_001, NOW * 1000 - 2

    def record(source, user, unknown, there, back):
        text = user.encode()
        out = ip(source) + ip("203.0.113.77") + halves(60_000, 443) + bytes([6]) + there[0].to_bytes(3, "big")
        out += halves(there[1]) + bytes([there[2]]) + struct.pack(">QQ", start, end)
        out += (bytes([len(text)]) if len(text) < 40 else b"\xff" + halves(len(text))) + text
        out += bytes([len(unknown)]) + unknown + words(1, 2) + bytes([3])
        return out + struct.pack(">QQB", *back)

    long = "a name that is long enough for the form of three bytes"
    data = record("198.51.100.40", "anna", b"xyz", (5_000, 10, 0x1B), (70_000_000_000, 50_000, 0x12))
    data += record("198.51.100.41", long, b"", (77, 1, 2), (0, 0, 0))

    def half(record, source, user, there, **more):
        ends = dict(src_addr=source, dst_addr="203.0.113.77", src_port=60_000, dst_port=443, proto=6)
        counts = dict(bytes=there[0], packets=there[1], tcp_flags=there[2], start_ms=start, end_ms=end)
        rest = dict(in_if=1, out_if=2, flow_end_reason=3, user_name=user)
        known = dict(sampling_interval=64, sampling_source="options")
        return row(1, record, exporter, domain, "ipfix", **(ends | counts | rest | known | more))

    back = dict(half="rev", src_addr="203.0.113.77", dst_addr="198.51.100.40", src_port=443, dst_port=60_000, in_if=2,
                out_if=1)  # fmt: skip
    rows = [
        half(1, "198.51.100.40", "anna", (5_000, 10, 0x1B), half="fwd"),
        half(1, "198.51.100.40", "anna", (70_000_000_000, 50_000, 0x12), **back),
        half(2, "198.51.100.41", long, (77, 1, 2), half="fwd"),
    ]
    pcap("gateway_ipfix_template.pcap", exporter, 4739, [ipfix(0, domain, flowset(2, template))])
    pcap("gateway_ipfix_options.pcap", exporter, 4739, [ipfix(0, domain, *options)])
    pcap("gateway_ipfix_data.pcap", exporter, 4739, [ipfix(1, domain, flowset(400, data))])
    expect("gateway_ipfix.ndjson", rows)


def firewall_v9():
    """Events of one firewall flow: its creation counts nothing, two updates what they add, the teardown what they left."""
    exporter, domain = "192.0.2.11", 0
    fields = [(148, 4), (8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (233, 1), (323, 8), (231, 4), (232, 4), (152, 8)]
    events = [(1, 0, 0), (5, 400, 100), (5, 600, 0), (2, 1_500, 100)]
    # forward and reverse bytes that each event adds; a reverse row only where there are any
    adds = [(0, 0), (400, 100), (600, 0), (500, 0)]
    start, data, rows = NOW * 1000 - 5_000, b"", []
    for n, (event, there, back) in enumerate(events):
        data += words(4711) + ip("198.51.100.66") + ip("203.0.113.66") + halves(40_001, 22) + bytes([6, event])
        data += struct.pack(">QIIQ", start + n, there, back, start)
        ends = [dict(src_addr="198.51.100.66", dst_addr="203.0.113.66", src_port=40_001, dst_port=22)]
        ends += [dict(src_addr="203.0.113.66", dst_addr="198.51.100.66", src_port=22, dst_port=40_001)]
        for side, added in enumerate(adds[n]):
            if side == 0 or added > 0:
                told = dict(half=["fwd", "rev"][side], proto=6, bytes=added, firewall_event=event, flow_id=4711)
                times = dict(event_ms=start + n, start_ms=start)
                flags = dict(sampling_source="unknown", flags=["sampling_unknown", "l4_bytes"])
                rows.append(row(1, n + 1, exporter, domain, "netflow9", **ends[side], **told, **times, **flags))
    pcap("firewall_v9_template.pcap", exporter, 2055, [v9(1, domain, 1, flowset(0, layout(263, fields)))])
    pcap("firewall_v9_data.pcap", exporter, 2055, [v9(2, domain, len(events), flowset(263, data))])
    expect("firewall_v9.ndjson", rows)


def switch_sflow():
    """Sampled headers: IPv4 with a VLAN tag, cut after the ports; IPv6; and counters of an interface, which make no row."""
    agent, sender = "10.0.0.12", "192.0.2.12"

    def item(number, body):
        return words(number, len(body)) + body

    def sample(sequence, rate, frame_len, stripped, header, in_if, out_if):
        head = words(1, frame_len, stripped, len(header)) + header + b"\0" * (-len(header) % 4)
        fields = words(sequence, 4, rate, sequence * rate, 0, in_if, out_if, 1)
        return item(1, fields + item(1, head))

    ends = mac("02:00:00:00:00:bb") + mac("02:00:00:00:00:aa")
    tcp = halves(443, 51_000) + words(1, 2) + bytes([0x50, 0x18]) + halves(1_000, 0, 0)
    packet = ipv4("203.0.113.12", "198.51.100.12", 6, tcp + bytes(1_460), tos=0x68, ttl=57)
    tagged = (ends + halves(0x8100, 3 << 13 | 42, 0x0800) + packet)[:64]
    udp = halves(53, 33_000, 8 + 92, 0)
    six = words(6 << 28 | 0x20 << 20 | 0x12345) + halves(100) + bytes([17, 255]) + ip("2001:db8::53") + ip("2001:db8::99")
    plain = ends + halves(0x86DD) + six + udp + bytes(20)
    counters = item(2, words(9, 4, 1) + item(1, words(4, 6, 0, 1_000_000_000, 1, 3, 0, 5) + bytes(48)))
    samples = [
        sample(1, 512, 1_522, 4, tagged, 4, 5),
        sample(2, 512, 158, 4, plain, 4, 0),
        counters,
    ]
    message = words(5, 1) + ip(agent) + words(0, 1, UPTIME, len(samples)) + b"".join(samples)
    macs = dict(src_mac="02:00:00:00:00:aa", dst_mac="02:00:00:00:00:bb")
    known = dict(sampling_interval=512, sampling_source="header", flags=["from_header"])
    first = dict(src_addr="203.0.113.12", dst_addr="198.51.100.12", src_port=443, dst_port=51_000, proto=6, bytes=1_500,
                 packets=1, tos=0x68, tcp_flags=0x18, in_if=4, out_if=5, vlan=42, dot1q_vlan=42, direction=0,
                 ip_version=4, ethertype=0x0800, l2_bytes=1_522, ttl=57, dscp=26, ecn=0)  # fmt: skip
    second = dict(src_addr="2001:db8::53", dst_addr="2001:db8::99", src_port=53, dst_port=33_000, proto=17, bytes=140,
                  packets=1, tos=0x20, in_if=4, out_if=0, direction=0, ip_version=6, ethertype=0x86DD, l2_bytes=158,
                  ttl=255, ipv6_flow_label=0x12345, dscp=8, ecn=0)  # fmt: skip
    rows = [
        row(1, n, agent, 0, "sflow", exporter_source=sender, **fields, **macs, **known)
        for n, fields in enumerate([first, second], 1)
    ]
    pcap("switch_sflow_data.pcap", sender, 6343, [message])
    expect("switch_sflow.ndjson", rows)


def damaged_ipfix():
    """What is sound between what is not: a set that runs past its message (its whole record counts), a template that claims
    more than there is, an unknown version, a message cut short, a set id that is reserved, a set shorter than its header,
    a datagram of nothing."""
    exporter, domain = "192.0.2.13", 1
    template = flowset(2, layout(256, [(8, 4), (12, 4), (1, 4)]))
    record = lambda n: ip("198.51.100.13") + ip("203.0.113.13") + words(n)  # noqa: E731
    data = lambda n: flowset(256, record(n))  # noqa: E731
    messages = [
        ipfix(0, domain, template, data(1), halves(256, 4_000) + record(2) + record(3)[:5]),
        ipfix(1, domain, flowset(2, halves(300, 9_999, 8, 4)), data(4)),
        halves(11, 20) + bytes(16),
        ipfix(2, domain, data(5))[:20],
        ipfix(2, domain, flowset(77, words(1)), data(6)),
        ipfix(3, domain, data(7), halves(256, 3) + words(1)),
        b"",
    ]
    unknown = dict(sampling_source="unknown", flags=["sampling_unknown"])
    flow = dict(src_addr="198.51.100.13", dst_addr="203.0.113.13")
    places = [(1, 1, 1), (1, 2, 2), (2, 1, 4), (5, 1, 6), (6, 1, 7)]
    rows = [row(d, r, exporter, domain, "ipfix", **flow, bytes=n, **unknown) for d, r, n in places]
    pcap("damaged_ipfix_data.pcap", exporter, 4739, messages)
    expect("damaged_ipfix.ndjson", rows)


fixed(5)
fixed(7)
router_v9()
gateway_ipfix()
firewall_v9()
switch_sflow()
damaged_ipfix()
