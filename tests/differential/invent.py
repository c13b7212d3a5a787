#!/usr/bin/env python3
"""Invents rules about what captures hold, and holds both engines against each other: how often each rule alerts, and which are refused.

    python3 tests/differential/invent.py target/release/flowhouse [--seed N] [--rules N] [--keep FOLDER] CAPTURE...

Contents are taken from the captures, keywords from a table by protocol, modifiers at random. Every rule on which the engines differ is printed with
both counts; `--keep` writes the rules of such captures to files. Needs suricata 7; its protocols are all switched on.
"""
import argparse
import collections
import concurrent.futures
import json
import pathlib
import random
import re
import subprocess
import tempfile

# by protocol of the header: buffers that take contents, and whole conditions ($n: a number, $s: a text of the capture)
HTTP = [
    "http.uri", "http.uri.raw", "http.method", "http.protocol", "http.request_line", "http.request_body", "http.header", "http.header.raw",
    "http.cookie", "http.user_agent", "http.host", "http.host.raw", "http.accept", "http.accept_lang", "http.accept_enc", "http.referer",
    "http.connection", "http.content_type", "http.content_len", "http.start", "http.header_names", "http.request_header", "http.stat_code",
    "http.stat_msg", "http.response_line", "http.response_body", "http.server", "http.location", "http.response_header", "file.data", "file.name",
]
BUFFERS = {
    "http": HTTP,
    "http1": HTTP,
    "http2": ["http2.header_name", "http.uri", "http.host", "http.header", "http.method", "http.stat_code", "http.user_agent"],
    "dns": ["dns.query"],
    "tls": [
        "tls.sni", "tls.cert_subject", "tls.cert_issuer", "tls.cert_serial", "tls.cert_fingerprint", "tls.certs", "tls.random", "ja3.string",
        "ja3s.string", "tls.random_bytes", "tls.random_time",
    ],
    "ssh": ["ssh.proto", "ssh.software", "ssh.hassh", "ssh.hassh.string", "ssh.hassh.server", "ssh.hassh.server.string"],
    "smb": ["smb.named_pipe", "smb.share", "smb.ntlmssp_user", "smb.ntlmssp_domain", "file.data", "file.name", "dcerpc.stub_data"],
    "smtp": ["file.data", "file.name"],
    "ftp-data": ["file.data", "file.name"],
    "nfs": ["file.data", "file.name"],
    "krb5": ["krb5.cname", "krb5.sname"],
    "snmp": ["snmp.community", "snmp.usm"],
    "sip": ["sip.method", "sip.uri", "sip.protocol", "sip.request_line", "sip.stat_code", "sip.stat_msg", "sip.response_line"],
    "rfb": ["rfb.name"],
    "mqtt": [
        "mqtt.connect.clientid", "mqtt.connect.username", "mqtt.connect.password", "mqtt.connect.willtopic", "mqtt.connect.willmessage",
        "mqtt.connect.protocol_string", "mqtt.publish.topic", "mqtt.publish.message", "mqtt.subscribe.topic", "mqtt.unsubscribe.topic",
    ],
    "quic": ["quic.cyu.hash", "quic.cyu.string", "quic.sni", "quic.ua", "quic.version", "tls.sni", "ja3.hash", "ja3.string"],
    "ike": ["ike.init_spi", "ike.resp_spi", "ike.nonce_payload", "ike.key_exchange_payload", "ike.vendor"],
    "dcerpc": ["dcerpc.stub_data"],
    "dnp3": ["dnp3.data"],
    "tcp": ["tcp.hdr"],
    "udp": ["udp.hdr"],
    "icmp": ["icmpv4.hdr", "icmpv6.hdr"],
    "ip": ["ipv4.hdr", "ipv6.hdr"],
}
FACTS = {
    "http": ["urilen:>$n", "urilen:<$n", "urilen:$n<>200", "filesize:>$n", "filesize:<$n", 'filename:"$s"', "filestore"],
    "dns": ["dns.opcode:$n", "dns.opcode:!0"],
    "tls": [
        "tls.version:1.0", "tls.version:1.1", "tls.version:1.2", "tls.version:1.3", "ssl_version:tls1.2", "ssl_version:!tls1.2,tls1.3",
        "ssl_state:client_hello", "ssl_state:server_hello", "ssl_state:!client_hello", "tls.cert_chain_len:$n", "tls.cert_chain_len:>1",
        "tls_cert_expired", "tls_cert_valid", "tls_cert_notbefore:>2015", "tls_cert_notafter:<2030",
    ],
    "ssh": ["ssh.protoversion:2.0", "ssh.softwareversion:$s"],
    "smb": ["smb.version:2", "dce_opnum:$n", "filesize:>$n"],
    "snmp": ["snmp.version:1", "snmp.version:2", "snmp.version:3", "snmp.pdu_type:$n"],
    "krb5": ["krb5_msg_type:$n", "krb5_err_code:$n", "krb5.weak_encryption"],
    "mqtt": ["mqtt.type:CONNECT", "mqtt.type:PUBLISH", "mqtt.qos:0", "mqtt.protocol_version:4", "mqtt.reason_code:0"],
    "modbus": ["modbus:function $n", "modbus:access read", "modbus:access write"],
    "ike": ["ike.exchtype:$n", "ike.nonce_payload_length:>$n"],
    "dhcp": ["dhcp.leasetime:>$n", "dhcp.renewal_time:>$n"],
    "dnp3": ["dnp3_func:$n", "dnp3_ind:restart"],
    "nfs": ["nfs_procedure:$n", "nfs.version:3"],
    "rfb": ["rfb.sectype:$n", "rfb.secresult:ok"],
    "http2": ["http2.frametype:HEADERS", "http2.frametype:SETTINGS", "http2.errorcode:NO_ERROR", "http2.window:>$n", "http2.size_update:>$n", "http2.priority:>$n"],
    "tcp": [
        "flags:S", "flags:SA", "flags:A", "flags:+A", "flags:PA", "flags:!R", "flags:F,12", "window:$n", "tcp.mss:>$n", "tcp.mss:<1461", "seq:1", "ack:0",
        "stream_size:server,>,$n", "stream_size:either,<,$n", "tcpv4-csum:valid",
    ],
    "udp": ["udpv4-csum:valid"],
    "icmp": ["itype:8", "itype:$n", "itype:>$n", "icode:0", "icmp_id:$n", "icmp_seq:$n"],
    "ip": ["ttl:>$n", "ttl:64", "tos:$n", "id:$n", "fragbits:D", "fragbits:!M", "fragoffset:0", "sameip", "ipopts:any"],
    "any": [
        "dsize:>$n", "dsize:<$n", "dsize:$n", "flowbits:noalert", "app-layer-protocol:$p", "app-layer-protocol:!$p", "app-layer-protocol:failed",
        "threshold:type limit,track by_src,count 1,seconds 60",
        "threshold:type threshold,track by_dst,count 2,seconds 60", "detection_filter:track by_src,count 1,seconds 60",
    ],
}
FLOWS = ["", "", "established", "to_server", "to_client", "established,to_server", "established,to_client", "stateless", "not_established"]

NETWORK = ("tcp", "udp", "icmp", "ip", "tcp-pkt", "tcp-stream")


def bytes_of(data):
    return "".join(chr(b) if chr(b).isascii() and chr(b).isalnum() or b == 32 else f"|{b:02X}|" for b in data)


def quoted(data):
    return "".join(chr(b) if chr(b).isascii() and chr(b).isalnum() else f"\\x{b:02x}" for b in data)


class Maker:
    def __init__(self, seed, data, protocols, told):
        self.dice = random.Random(seed)
        self.data = data
        self.protocols = protocols
        texts = [m.group() for m in re.finditer(rb"[\x20-\x7e]{4,}", data)]
        words = [w for t in texts for w in re.split(rb"[ /:;=,&?\"]+", t) if len(w) > 2]
        self.texts = sorted(set(told)) * 3 + sorted(set(texts + words))

    def token(self):
        dice = self.dice
        if self.texts and dice.random() < 0.85:
            text = dice.choice(self.texts)
            if dice.random() < 0.4:
                return text[:64]
            start = dice.randrange(len(text))
            return text[start : start + dice.randint(2, 24)]
        start = dice.randrange(max(1, len(self.data) - 8))
        return self.data[start : start + dice.randint(2, 8)]

    def steps(self, buffer):
        dice, made, first = self.dice, [], True
        for _ in range(dice.choice((1, 1, 1, 2, 2, 3))):
            token = self.token()
            if not token:
                continue
            kind = dice.random()
            if kind < 0.72:
                made.append(self.content(buffer, token, first))
            elif kind < 0.82:
                relative = "R" if not first and dice.random() < 0.5 else ""
                flags = dice.choice(("", "i", "s", "m")) + relative
                body = quoted(token[:12])
                body = dice.choice((body, "^" + body, body + "$", body + ".+", "[^a-z]" + body, ".{2,6}" + body))
                made.append(f'pcre:"/{body}/{flags}"')
            elif kind < 0.87:
                relative = "" if first else ",relative"
                made.append(dice.choice(("", "!")).join(("isdataat:", f"{dice.randint(0, 90)}{relative}")))
            elif kind < 0.93:
                relative = "" if first else dice.choice(("", ",relative"))
                value = dice.choice((0, 1, 13, 32, 64, 100, 255, 20000))
                size = dice.choice((1, 2, 4))
                made.append(f"byte_test:{size},{dice.choice(('>', '<', '=', '&', '!='))},{value},{dice.randint(0, 12)}{relative}")
            elif kind < 0.96:
                made.append(f"byte_jump:{dice.choice((1, 2))},{dice.randint(0, 6)}" + ("" if first else ",relative"))
                made.append(f"isdataat:{dice.randint(0, 9)},relative")
            elif buffer:
                made.append(f"bsize:{dice.choice(('>', '<', ''))}{dice.choice((1, 3, 7, len(token), 20, 100))}")
            first = False
        return made

    def content(self, buffer, token, first):
        dice = self.dice
        if buffer in ("http.host", "tls.cert_fingerprint") or buffer.startswith(("ja3", "ja4", "ssh.hassh")):
            token = token.lower()
        negated = dice.random() < 0.12
        text = f'content:{"!" if negated else ""}"{bytes_of(token)}"'
        more, kind = [], dice.random()
        if kind < 0.10:
            more.append("startswith")
        elif kind < 0.22:
            more.append("endswith")
        elif kind < 0.34:
            more.append(f"depth:{len(token) + dice.choice((0, 1, 5, 40, 200))}")
            if dice.random() < 0.4:
                more.append(f"offset:{dice.randint(0, 30)}")
        elif kind < 0.42:
            more.append(f"offset:{dice.randint(0, 60)}")
        elif kind < 0.75 and not first:
            if dice.random() < 0.8:
                more.append(f"distance:{dice.choice((0, 0, 1, 3, -4))}")
            if dice.random() < 0.5:
                more.append(f"within:{len(token) + dice.choice((0, 2, 30, 300))}")
        if dice.random() < 0.35 and buffer != "http.host":
            more.append("nocase")
        if dice.random() < 0.15 and not negated and not self.fast:
            more.append("fast_pattern")
            self.fast = True
        return "; ".join([text, *more])

    def fact(self, family):
        dice = self.dice
        text = dice.choice(FACTS[family])
        text = text.replace("$n", str(dice.choice((0, 1, 2, 3, 5, 8, 10, 13, 16, 40, 100, 1000))))
        text = text.replace("$p", dice.choice(self.protocols or ["http"]))
        return text.replace("$s", "".join(c for c in self.token().decode("latin1")[:12] if c.isalnum() or c in ".-_") or "a")

    def rule(self, sid):
        dice, options, self.fast = self.dice, [], False
        applied = [p for p in self.protocols if p in BUFFERS or p in FACTS]
        header = dice.choice(applied) if applied and dice.random() < 0.6 else dice.choice(NETWORK)
        family = header if header not in NETWORK else header.split("-")[0]
        flow, named = dice.choice(FLOWS), False
        if header in NETWORK and header != "tcp-stream" and dice.random() < 0.3:
            flow += ",no_stream" if flow else "no_stream"
        if flow:
            options.append("flow:" + flow)
        for _ in range(dice.choice((1, 1, 1, 2, 2, 3))):
            kind = dice.random()
            if kind < 0.2 and family in FACTS and header != "tcp-stream":
                options.append(self.fact(family))
            elif kind < 0.3:
                text = self.fact("any")
                known = header not in NETWORK or named
                if not (text.startswith("app-layer-protocol") and known or text.startswith("dsize") and (known or header == "tcp-stream")):
                    named |= text.startswith("app-layer-protocol")
                    options.append(text)
            elif kind < 0.45 or family not in BUFFERS or header == "tcp-stream":
                options += (["pkt_data"] if options and dice.random() < 0.5 else []) + self.steps("")
            else:
                buffer = dice.choice(BUFFERS[family])
                transform = dice.choice(("to_lowercase", "strip_whitespace", "to_md5", "url_decode", "dotprefix", "compress_whitespace"))
                options += [buffer, *([transform] if dice.random() < 0.06 else []), *self.steps(buffer)]
        if not options:
            options = self.steps("")
        way = dice.choice(("->", "->", "->", "<>"))
        return f'alert {header} any any {way} any any (msg:"{sid}"; {"; ".join(options)}; sid:{sid}; rev:1;)'


PROTOCOLS = "tls dcerpc smb nfs tftp ftp rdp ssh smtp imap msn http http2 dns modbus enip dnp3 ntp krb5 ike dhcp snmp sip mqtt rfb pgsql telnet quic bittorrent-dht".split()
SWITCHES = [w for p in PROTOCOLS if p not in ("dns",) for w in ("--set", f"app-layer.protocols.{p}.enabled=yes")]
STOCK = ["-k", "none", "--runmode", "single", "--set", "packet-alert-max=255", "--set", "app-layer.protocols.tls.ja3-fingerprints=yes",
         "--set", "app-layer.protocols.ssh.hassh=yes", "--set", "app-layer.protocols.tls.ja4-fingerprints=yes", *SWITCHES]


def suricata(rules, capture, folder):
    """Events and what is refused."""
    command = ["suricata", "-r", str(capture), "-S", str(rules), "-l", str(folder), *STOCK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    eve = pathlib.Path(folder, "eve.json")
    events = [json.loads(line) for line in eve.read_text(errors="replace").splitlines()] if eve.exists() else []
    said = done.stderr + done.stdout
    refused = {int(sid): why for why, sid in re.findall(r"^(.*)\n.*error parsing signature .*?sid:(\d+);", said, re.M)}
    return events, refused, said


def counts(events):
    alerts = (e for e in events if e.get("event_type", "alert") == "alert")
    return collections.Counter(e["alert"]["signature_id"] for e in alerts)


def flowhouse(binary, rules, capture, folder):
    command = [binary, "rules", "test", "--rules", str(rules), "-k", "none", "--out", str(folder), str(capture)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    lines = pathlib.Path(folder, "alerts.ndjson")
    if done.returncode or not lines.exists():
        return None, set(), done.stderr
    checked = subprocess.run([binary, "rules", "check", "--json", str(rules)], capture_output=True, text=True)
    refused = {r["sid"]: r for r in json.loads(checked.stdout)["refused"]}
    return counts(map(json.loads, lines.read_text().splitlines())), refused, done.stderr


def texts_of(value):
    if isinstance(value, dict):
        for inner in value.values():
            yield from texts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_of(inner)
    elif isinstance(value, str) and 2 < len(value) < 200:
        yield value.encode()


def held(binary, capture, seed, number, keep):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        rules = folder / "made.rules"
        rules.write_text("")
        events, _, _ = suricata(rules, capture, folder)
        protocols = sorted({e["app_proto"] for e in events if e.get("app_proto", "failed") != "failed"})
        told = [t for e in events if e["event_type"] not in ("flow", "stats") for t in texts_of({k: v for k, v in e.items() if isinstance(v, dict)})]
        maker = Maker(seed, capture.read_bytes()[:2_000_000], protocols, told)
        rules.write_text("".join(maker.rule(sid) + "\n" for sid in range(1, number + 1)))
        theirs, ours = folder / "theirs", folder / "ours"
        theirs.mkdir(), ours.mkdir()
        events, refused, said = suricata(rules, capture, theirs)
        want = counts(events)
        got, declined, fault = flowhouse(binary, rules, capture, ours)
        if got is None:
            return [f"FAILED {capture}: {fault[-300:]}"], 0, 0
        lines = {int(re.search(r"sid:(\d+);", line).group(1)): line for line in rules.read_text().splitlines()}
        out = []
        for sid, line in sorted(lines.items()):
            if (sid in refused) != (sid in declined):
                why = "ours: " + declined[sid]["reason"] if sid in declined else "Suricata: " + refused[sid]
                out.append(f"{capture.name} LOAD {why}: {line}")
            elif want[sid] != got[sid]:
                out.append(f"{capture.name} {want[sid]} {got[sid]}: {line}")
        if keep and out:
            (pathlib.Path(keep) / (capture.name + ".rules")).write_text("\n".join(o.split(": ", 1)[1] for o in out) + "\n")
        return out, len(lines) - len(refused), sum(1 for s in want if want[s])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("captures", nargs="+", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rules", type=int, default=300)
    parser.add_argument("--keep")
    given = parser.parse_args()
    loaded = fired = differ = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        work = [pool.submit(held, given.binary, c, given.seed * 1000 + n, given.rules, given.keep) for n, c in enumerate(given.captures)]
        for result in work:
            out, rules, hits = result.result()
            loaded, fired, differ = loaded + rules, fired + hits, differ + len(out)
            print("\n".join(out), end="\n" if out else "", flush=True)
    print(f"{loaded} rules loaded, {fired} alert with Suricata, {differ} differ")


if __name__ == "__main__":
    main()
