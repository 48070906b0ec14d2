"""A node of the Python reference of Reticulum, driven by JSON lines on stdin; events leave as JSON lines on stdout."""
import json
import os
import sys
import threading
import time

import RNS
from rns_lines import Bytes, emit


class Announces:
    aspect_filter = None
    receive_path_responses = True

    def received_announce(self, destination_hash, announced_identity, app_data):
        emit(
            "announce",
            hash=destination_hash.hex(),
            appData=(app_data or b"").hex(),
            hops=RNS.Transport.hops_to(destination_hash),
        )


class Note(Bytes):
    MSGTYPE = 0x0101


class Node:
    def __init__(self, config):
        self.reticulum = RNS.Reticulum(configdir=config, loglevel=int(sys.argv[2]) if len(sys.argv) > 2 else 1)
        RNS.Transport.register_announce_handler(Announces())
        self.identity = RNS.Identity()
        self.destination = RNS.Destination(
            self.identity, RNS.Destination.IN, RNS.Destination.SINGLE, "interop", "python"
        )
        self.destination.set_proof_strategy(RNS.Destination.PROVE_ALL)
        self.destination.set_packet_callback(lambda data, packet: emit("packet", data=data.hex()))
        self.destination.register_request_handler("/echo", response_generator=self.echo, allow=RNS.Destination.ALLOW_ALL)
        self.destination.set_link_established_callback(self.linked)
        self.link = None
        self.buffers = {}
        self.reading = threading.Lock()
        emit("ready", hash=self.destination.hash.hex(), identity=self.identity.hash.hex())

    def echo(self, path, data, request_id, link_id, remote_identity, requested_at):
        return data

    def linked(self, link):
        self.link = link
        link.set_resource_strategy(RNS.Link.ACCEPT_ALL)
        link.set_packet_callback(lambda data, packet: emit("link-packet", data=data.hex()))
        link.set_remote_identified_callback(lambda l, identity: emit("identified", identity=identity.hash.hex()))
        link.set_resource_concluded_callback(self.resource_concluded)
        link.set_link_closed_callback(lambda l: emit("link-closed", reason=l.teardown_reason))
        channel = link.get_channel()
        channel.register_message_type(Note)
        channel.add_message_handler(self.message)
        emit("link", mtu=link.mtu, rtt=link.rtt)

    def message(self, message):
        if isinstance(message, Note):
            emit("message", data=message.data.hex())
            return True
        return False

    def resource_concluded(self, resource):
        ok = resource.status == RNS.Resource.COMPLETE
        digest = ""
        size = -1
        if ok:
            body = resource.data.read()
            size = len(body)
            digest = RNS.Identity.full_hash(body).hex()
        emit("resource", ok=ok, size=size, sha256=digest, metadata=repr(resource.metadata))

    def peer(self, command):
        hash = bytes.fromhex(command["hash"])
        return RNS.Destination(
            RNS.Identity.recall(hash), RNS.Destination.OUT, RNS.Destination.SINGLE, command["app"], *command["aspects"]
        )

    def do(self, command):
        getattr(self, "do_" + command["do"].replace("-", "_"))(command)

    def do_announce(self, command):
        started = time.time()
        self.destination.announce(app_data=bytes.fromhex(command.get("appData", "")))
        emit("announced", at=started)

    def do_ratchets(self, command):
        self.destination.enable_ratchets(command["path"])
        emit("ratchets")

    def do_path(self, command):
        RNS.Transport.request_path(bytes.fromhex(command["hash"]))
        emit("path-requested")

    def send(self, target, command):
        """The proof may be here before the call that sends returns, so the receipt is looked at once more afterwards."""
        started = time.time()
        told = threading.Lock()

        def proved(receipt):
            if told.acquire(blocking=False):
                emit("proved", rtt=receipt.get_rtt(), took=time.time() - started)

        receipt = RNS.Packet(target, bytes.fromhex(command["data"])).send()
        receipt.set_timeout(2)
        receipt.set_delivery_callback(proved)
        receipt.set_timeout_callback(lambda r: emit("unproved"))
        if receipt.get_status() == RNS.PacketReceipt.DELIVERED:
            proved(receipt)

    def do_packet(self, command):
        self.send(self.peer(command), command)

    def do_link(self, command):
        started = time.time()

        def established(link):
            if command.get("channel"):
                channel = link.get_channel()
                channel.register_message_type(Note)
                channel.add_message_handler(self.message)
            emit("link-up", took=time.time() - started, mtu=link.mtu)

        self.link = RNS.Link(
            self.peer(command),
            established_callback=established,
            closed_callback=lambda l: emit("link-closed", reason=l.teardown_reason),
        )
        self.link.set_packet_callback(lambda data, packet: emit("link-packet", data=data.hex()))
        self.link.set_resource_strategy(RNS.Link.ACCEPT_ALL)
        self.link.set_resource_concluded_callback(self.resource_concluded)

    def do_identify(self, command):
        self.link.identify(self.identity)
        emit("identify-sent")

    def do_link_packet(self, command):
        self.send(self.link, command)

    def do_request(self, command):
        started = time.time()
        self.link.request(
            command["path"],
            data=bytes.fromhex(command["data"]),
            response_callback=lambda r: emit("response", data=r.response.hex(), took=time.time() - started),
            failed_callback=lambda r: emit("request-failed"),
            timeout=command.get("timeout", 5),
        )

    def do_resource(self, command):
        data = bytes.fromhex(command["data"]) if "data" in command else make(command["size"], command["compressible"])
        started = time.time()
        RNS.Resource(
            data,
            self.link,
            metadata=command.get("metadata"),
            auto_compress=command.get("compress", True),
            callback=lambda r: emit(
                "resource-sent",
                ok=r.status == RNS.Resource.COMPLETE,
                took=time.time() - started,
                sha256=RNS.Identity.full_hash(data).hex(),
            ),
        )

    def do_message(self, command):
        deadline = time.time() + 10
        while not self.link.get_channel().is_ready_to_send() and time.time() < deadline:
            time.sleep(0.005)
        self.link.get_channel().send(Note(bytes.fromhex(command["data"])))
        emit("message-sent")

    def do_stream(self, command):
        channel = self.link.get_channel()
        reader = RNS.Buffer.create_reader(command["id"], channel, lambda ready: self.readable(command["id"], ready))
        self.buffers[command["id"]] = (reader, RNS.Buffer.create_writer(command["id"], channel))
        emit("stream")

    def readable(self, id, ready):
        """The reference calls this from many threads at once: chunks must be told in the order they were read."""
        with self.reading:
            emit("stream-data", id=id, data=(self.buffers[id][0].read(ready) or b"").hex())

    def do_write(self, command):
        writer = self.buffers[command["id"]][1]
        writer.write(bytes.fromhex(command["data"]))
        writer.flush()
        if command.get("close"):
            writer.close()
        emit("written")

    def do_close(self, command):
        self.link.teardown()
        emit("closing")

    def do_memory(self, command):
        import resource

        emit("memory", rss=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    def do_lxmf(self, command):
        """Starts a router with a delivery address; `node` makes it a propagation node too."""
        import LXMF

        self.LXMF = LXMF
        self.router = LXMF.LXMRouter(
            identity=self.identity,
            storagepath=sys.argv[1] + "/lxmf",
            autopeer=command.get("autopeer", True),
            propagation_cost=13,
            propagation_cost_flexibility=0,
            peering_cost=4,
        )
        self.delivery = self.router.register_delivery_identity(
            RNS.Identity(), display_name="Python", stamp_cost=command.get("cost")
        )
        self.router.register_delivery_callback(
            lambda m: emit(
                "lxmf",
                content=m.content_as_string(),
                hash=m.hash.hex(),
                verified=m.signature_validated,
                state=str(m.stamp_valid),
            )
        )
        if command.get("node"):
            self.router.enable_propagation()
        node = self.router.propagation_destination.hash.hex() if command.get("node") else ""
        emit("lxmf-ready", hash=self.delivery.hash.hex(), data=node)

    def do_lxmf_announce(self, command):
        self.router.announce(self.delivery.hash)
        emit("lxmf-announced")

    def do_lxmf_node_announce(self, command):
        destination = self.router.propagation_destination
        destination.announce(app_data=self.router.get_propagation_node_app_data())
        emit("lxmf-announced")

    def do_lxmf_send(self, command):
        LXMF = self.LXMF
        methods = {
            "opportunistic": LXMF.LXMessage.OPPORTUNISTIC,
            "direct": LXMF.LXMessage.DIRECT,
            "propagated": LXMF.LXMessage.PROPAGATED,
        }
        target = self.peer({"hash": command["hash"], "app": "lxmf", "aspects": ["delivery"]})
        message = LXMF.LXMessage(
            target,
            self.delivery,
            command["content"],
            command.get("title", ""),
            desired_method=methods[command["method"]],
            include_ticket=command.get("ticket", False),
        )
        started = time.time()
        tell = lambda m, good: emit("lxmf-sent", ok=good, state=str(m.state), took=time.time() - started)
        message.register_delivery_callback(lambda m: tell(m, True))
        message.register_failed_callback(lambda m: tell(m, False))
        self.router.handle_outbound(message)

    def do_lxmf_use(self, command):
        self.router.set_outbound_propagation_node(bytes.fromhex(command["hash"]))
        emit("lxmf-uses")

    def do_lxmf_fetch(self, command):
        self.router.request_messages_from_propagation_node(self.router.identity if command.get("node") else self.delivery.identity)
        emit("lxmf-fetching")

    def do_lxmf_count(self, command):
        emit("lxmf-count", count=len(self.router.propagation_entries), ok=len(self.router.peers) > 0)

    def do_lxmf_sync(self, command):
        for peer in list(self.router.peers.values()):
            peer.sync()
        emit("lxmf-syncing", count=len(self.router.peers))

    def do_status(self, command):
        emit("status", interfaces=[{"name": str(i), "online": i.online, "tx": i.txb, "rx": i.rxb} for i in RNS.Transport.interfaces])


def make(size, compressible):
    if compressible:
        return (b"Reticulum interoperability " * (size // 27 + 1))[:size]
    return b"".join(RNS.Identity.full_hash(str(i).encode()) for i in range(size // 32 + 1))[:size]


node = Node(sys.argv[1])
# Not sys.stdin: LXMF forks to work on stamps, and a child that finds it locked by this reader hangs for ever.
for line in os.fdopen(os.dup(0)):
    command = json.loads(line)
    if command["do"] == "quit":
        break
    try:
        node.do(command)
    except Exception as error:
        emit("error", what=command["do"], message=repr(error))
RNS.exit(0)
