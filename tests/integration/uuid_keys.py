"""Keys of message UUIDs, and the proof in a UUID computed independently of the programs."""
import hashlib
import hmac
import secrets
import uuid


def new_key():
    return secrets.token_hex(32)


def proof(key, identity, recipient):
    label = b"postfix-sendpost uuid proof\0"
    return hmac.new(bytes.fromhex(key), label + identity + recipient.lower().encode(), hashlib.sha256).digest()[:6]


def is_proven(key, text, recipient):
    """Whether the UUID was made with the key for the recipient."""
    value = uuid.UUID(text)
    return value.version == 5 and value.bytes[10:] == proof(key, value.bytes[:10], recipient)


def make(key, recipient):
    """A UUID with its proof, as the pipe makes one without a queue id."""
    identity = bytearray(secrets.token_bytes(10))
    identity[6], identity[8] = identity[6] & 15 | 0x50, identity[8] & 63 | 128
    return str(uuid.UUID(bytes=bytes(identity) + proof(key, bytes(identity), recipient)))
