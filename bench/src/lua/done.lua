
function done(summary, latency, requests)
  local sent = {}
  for _, thread in ipairs(threads) do
    table.insert(sent, thread:get("counter"))
  end
  io.write(string.format(
    '{"requests":%d,"refused":%d,"lost":%d,"late":%d,"us":%d,"p50_us":%d,"p99_us":%d,"max_us":%d,"sent":[%s]}\n',
    summary.requests, summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.write,
    summary.errors.timeout, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    table.concat(sent, ",")))
end
