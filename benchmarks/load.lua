-- wrk's script: requests as browsers send them, from many users, prepared at the
-- start so that the generator costs little. Arguments: the scenario's shape
-- (get, post, close, download, upload; services: GET of 50 hosts in turn).

local VARIANTS, LARGE_VARIANTS = 4096, 16
local shape, at, requests = "get", 0, {}

local agents = {
  "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
  "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:128.0) Gecko/20100101 Firefox/128.0",
}

local function fields(number)
  local user = math.random(100000)
  local headers = {
    ["Host"] = "shop.example",
    ["User-Agent"] = agents[number % #agents + 1],
    ["Accept"] = "application/json, text/plain, */*",
    ["Accept-Language"] = "en-US,en;q=0.5",
    ["Accept-Encoding"] = "gzip, deflate, br, zstd",
    ["Referer"] = string.format("https://shop.example/items/%d", number),
    ["Cookie"] = string.format("session=%08x%08x; theme=dark", math.random(2 ^ 31), user),
    ["Sec-Fetch-Dest"] = "empty",
    ["Sec-Fetch-Mode"] = "cors",
    ["Sec-Fetch-Site"] = "same-origin",
    ["x-user-id"] = string.format("user-%d", user),
  }
  if shape == "services" then headers["Host"] = string.format("shop-%d.example", number % 50) end
  if shape == "close" then headers["Connection"] = "close" end
  return headers
end

local function prepared(number)
  local path = string.format("/api/items/%d?page=%d", math.random(100000), number % 50)
  if shape == "post" then
    local headers = fields(number)
    headers["Content-Type"] = "application/json"
    return wrk.format("POST", path, headers, string.rep("x", 4096))
  elseif shape == "upload" then
    local headers = fields(number)
    headers["Content-Type"] = "application/octet-stream"
    return wrk.format("POST", "/upload?n=" .. number, headers, string.rep("x", 2 ^ 20))
  elseif shape == "download" then
    return wrk.format("GET", "/mebibyte.bin?n=" .. number, fields(number))
  end
  return wrk.format("GET", path, fields(number))
end

function init(args)
  shape = args[1]
  math.randomseed(7)
  local variants = shape == "upload" and LARGE_VARIANTS or VARIANTS
  for number = 1, variants do requests[number] = prepared(number) end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency, unused)
  local errors = summary.errors
  io.write(string.format(
    'figures {"requests": %d, "duration_us": %d, "bytes": %d, "p50_us": %d, "p99_us": %d, "failed": %d}\n',
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
