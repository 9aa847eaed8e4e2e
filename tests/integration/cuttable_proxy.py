"""A way to a server that can be cut, or made slow, for one host alone. It is a process of its own: among the threads of a test it
would wait its turn for longer than a host waits for its cluster."""
import asyncio
import subprocess
import sys


class CuttableProxy:
    def __init__(self, target):
        self.process = subprocess.Popen([sys.executable, __file__, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def tell(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "done\n"

    def set_cut(self, cut):
        self.tell("cut", int(cut))

    def set_delay(self, seconds):
        """Of what is sent, each way."""
        self.tell("delay", seconds)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Way:
    def __init__(self, target):
        self.target, self.cut, self.delay, self.ends = target, False, 0.0, set()

    async def pump(self, reader, writer):
        while data := await reader.read(65536):
            if self.delay:
                await asyncio.sleep(self.delay)
            writer.write(data)
            await writer.drain()

    async def connected(self, reader, writer):
        ends = [writer]
        try:
            if not self.cut:
                to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.target)
                ends.append(to_writer)
                self.ends.update(ends)
                pumps = [asyncio.create_task(self.pump(reader, to_writer)), asyncio.create_task(self.pump(to_reader, writer))]
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass
        for end in ends:
            end.close()
        self.ends.difference_update(ends)

    async def obey(self, line):
        word, value = line.split()
        if word == "delay":
            self.delay = float(value)
            return
        self.cut = value == "1"
        if self.cut:
            for end in self.ends:
                end.transport.abort()
            self.ends.clear()


async def serve(target):
    way = Way(target)
    listener = await asyncio.start_server(way.connected, "127.0.0.1", 0)
    print(listener.sockets[0].getsockname()[1], flush=True)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        await way.obey(line.decode())
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
