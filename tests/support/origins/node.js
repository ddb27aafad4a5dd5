// A Node origin: one JSON line a request that it read, or refused, then an answer.
"use strict";
const fs = require("node:fs");
const http = require("node:http");
const [port, log] = process.argv.slice(2);
const out = fs.openSync(log, "a");
const note = (entry) => fs.writeSync(out, JSON.stringify(entry) + "\n");

const server = http.createServer((request, response) => {
  let bytes = 0;
  request.on("data", (data) => { bytes += data.length; });
  request.on("end", () => {
    note({ client: request.headers["x-forwarded-for"] || "", target: request.url, bytes });
    response.end("ok");
  });
});
server.on("clientError", (error, socket) => {
  if (error.code !== "ECONNRESET") note({ refused: String(error.code) });
  if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
});
server.on("upgrade", (request, socket) => {
  note({ client: request.headers["x-forwarded-for"] || "", target: request.url, bytes: 0 });
  socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
});
server.listen(Number(port), "127.0.0.1");
