"""
A stock Python program: the Reticulum reference and PyNaCl, no code of this project, only what spine/WIRE.md says.

  rns_stranger.py CONFIG DESTINATION

Links to the `aegis.spine` destination of a node, says hello, verifies every envelope that comes with PyNaCl, and answers
the first one with an envelope of its own on the link and another one by LXMF. Events leave as JSON lines on stdout.
"""
import hashlib
import json
import sys
import time

import LXMF
import RNS
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey
from rns_lines import Bytes, emit

HELLO, FRAME = 0, 1


def varint(n):
    out = bytearray()
    while n >= 128:
        out.append(n % 128 + 128)
        n //= 128
    out.append(n)
    return bytes(out)


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Message(Bytes):
    MSGTYPE = 0x5350


class Stranger:
    def __init__(self, config, destination):
        RNS.Reticulum(configdir=config, loglevel=1)
        self.remote = bytes.fromhex(destination)
        self.identity = RNS.Identity()
        self.key = SigningKey.generate()
        self.issuer = "aegis:ed25519:" + self.key.verify_key.encode().hex()
        # Its own address, so that the node can tell who links: it takes no links itself.
        self.own = RNS.Destination(self.identity, RNS.Destination.IN, RNS.Destination.SINGLE, "aegis", "spine")
        self.router = LXMF.LXMRouter(identity=self.identity, storagepath=config + "/lxmf")
        self.delivery = self.router.register_delivery_identity(RNS.Identity(), display_name="stranger")
        self.seq = 0
        self.previous = None
        self.answered = False
        emit("ready", issuer=self.issuer, hash=self.own.hash.hex())

    def run(self):
        while not RNS.Transport.has_path(self.remote):
            RNS.Transport.request_path(self.remote)
            time.sleep(0.5)
        identity = RNS.Identity.recall(self.remote)
        out = RNS.Destination(identity, RNS.Destination.OUT, RNS.Destination.SINGLE, "aegis", "spine")
        self.mailbox = RNS.Destination(identity, RNS.Destination.OUT, RNS.Destination.SINGLE, "lxmf", "delivery")
        self.link = RNS.Link(out, established_callback=self.established, closed_callback=lambda l: emit("closed"))
        self.link.set_resource_strategy(RNS.Link.ACCEPT_ALL)
        self.link.set_resource_concluded_callback(lambda r: self.frame(r.data.read()))

    def established(self, link):
        self.channel = link.get_channel()
        self.channel.register_message_type(Message)
        self.channel.add_message_handler(self.message)
        link.identify(self.identity)

    def say(self, kind, payload):
        self.channel.send(Message(bytes([kind]) + payload))

    def message(self, message):
        kind, payload = message.data[0], message.data[1:]
        if kind == HELLO:
            binding = b"".join(bytes([len(x)]) + x for x in (self.own.hash, self.remote))
            proof = self.key.sign(b"aegis.spine.hello.v1\x00" + binding).signature
            key = self.key.verify_key.encode()
            self.say(FRAME, b"\x01" + bytes([1, 1]) + varint(524288) + key + proof)
        elif kind == FRAME:
            self.frame(payload)
        return True

    def frame(self, frame):
        if frame[0] == 1:
            key, proof = frame[-96:-64], frame[-64:]
            binding = b"".join(bytes([len(x)]) + x for x in (self.remote, self.own.hash))
            emit("hello", issuer="aegis:ed25519:" + key.hex(), ok=verified(key, b"aegis.spine.hello.v1\x00" + binding, proof))
        elif frame[0] == 8:
            count, at = read_varint(frame, 1)
            for _ in range(count):
                size, at = read_varint(frame, at)
                self.record(frame[at : at + size])
                at += size

    def record(self, record):
        size = int.from_bytes(record[:4], "big")
        signing, signature = record[4 : 4 + size], record[4 + size :]
        value = json.loads(signing)
        key = bytes.fromhex(value["issuer"].split(":")[2])
        ok = verified(key, signing, signature) and canonical(value) == signing
        digest = "0x" + hashlib.sha256(signing).hexdigest()
        emit("envelope", hash=digest, issuer=value["issuer"], seq=value["seq"], schema=value["fact"]["schema"], ok=ok)
        if not self.answered:
            self.answered = True
            self.answer(digest)

    def answer(self, digest):
        signing, signature, _ = self.sign({"schema": "aegis.spine.fact.note.v1", "answer": digest})
        record = len(signing).to_bytes(4, "big") + signing + signature
        self.say(FRAME, b"\x08" + varint(1) + varint(len(record)) + record)
        _, _, text = self.sign({"schema": "aegis.spine.fact.note.v1", "by": "mail"})
        message = LXMF.LXMessage(self.mailbox, self.delivery, text, "", desired_method=LXMF.LXMessage.DIRECT)
        message.register_delivery_callback(lambda m: emit("mailed"))
        message.register_failed_callback(lambda m: emit("mail-failed"))
        self.router.handle_outbound(message)

    def sign(self, fact):
        self.seq += 1
        envelope = {
            "schema": "aegis.spine.envelope.v1",
            "issuer": self.issuer,
            "seq": self.seq,
            "prev_envelope_hash": self.previous,
            "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "capability_token": None,
            "fact": fact,
        }
        signing = canonical(envelope)
        signature = self.key.sign(signing).signature
        self.previous = "0x" + hashlib.sha256(signing).hexdigest()
        emit("signed", hash=self.previous, seq=self.seq)
        whole = {**envelope, "envelope_hash": self.previous, "signature": "0x" + signature.hex()}
        return signing, signature, canonical(whole)


def verified(key, message, signature):
    try:
        VerifyKey(key).verify(message, signature)
        return True
    except BadSignatureError:
        return False


Stranger(sys.argv[1], sys.argv[2]).run()
sys.stdin.read()
RNS.exit(0)
