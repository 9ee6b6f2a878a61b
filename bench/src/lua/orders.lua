-- One order of one unit with each request, under a key of its own: <prefix><thread>-<count>.
-- Arguments: prefix, the SKUs' prefix, how many products, "once" or "twice", how many keys a repetition lags behind.
-- The request is put together by hand, and there is no response(): both would cost more than the server.
local threads = {}
local bit = require("bit")

function setup(thread)
  thread:set("thread_id", #threads)
  table.insert(threads, thread)
end

function init(args)
  counter = 0
  local prefix, sku = args[1], args[2]
  products = tonumber(args[3])
  is_twice = args[4] == "twice"
  lag = tonumber(args[5])
  is_again = false
  head = "POST " .. wrk.path .. " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port
    .. "\r\nContent-Type: application/json\r\nIdempotency-Key: " .. prefix .. thread_id .. "-"
  tails = {}
  for product = 0, products - 1 do
    local body = string.format('{"lines":[{"sku":"%s%04d","quantity":1}]}', sku, product)
    tails[product] = "\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
  end
end

-- At random, and the same for the same key: the benchmark, which sends some keys again, knows it, too (`product_of`).
local function product_of(key)
  local x = (key * 1103515245 + thread_id * 12345) % 2147483648
  x = bit.bxor(x, bit.rshift(x, 15))
  x = (x * 69069) % 2147483648
  x = bit.bxor(x, bit.rshift(x, 16))
  return x % products
end

function request()
  local key
  if is_again and counter > lag then
    is_again = false
    key = counter - lag
  else
    counter = counter + 1
    key = counter
    is_again = is_twice
  end
  return head .. key .. tails[product_of(key)]
end
