-- The same request each time.
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  counter = 0
  local body = '{"lines":[{"sku":"HOT-0000","quantity":1}]}'
  message = "POST " .. wrk.path .. " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port
    .. "\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

function request()
  counter = counter + 1
  return message
end
