-- Prepared requests, each once. Every thread has a file of its own, named <first argument><thread>, with lines
-- of a path, a tabulator and a body. When they are used up the last one is repeated, and `counter` shows that
-- there were too few.
local threads = {}

function setup(thread)
  thread:set("thread_id", #threads)
  table.insert(threads, thread)
end

function init(args)
  counter = 0
  file = assert(io.open(args[1] .. thread_id, "r"))
  middle = " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port
    .. "\r\nContent-Type: application/json\r\nContent-Length: "
  -- The first call of the first thread is only wrk's look at what a request is like: nothing is sent.
  is_looking = thread_id == 0
end

function request()
  if is_looking then
    is_looking = false
    return "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
  end
  counter = counter + 1
  local line = file:read("*l")
  if line then
    local path, body = line:match("^(.-)\t(.*)$")
    last = "POST " .. path .. middle .. #body .. "\r\n\r\n" .. body
  end
  return last
end
