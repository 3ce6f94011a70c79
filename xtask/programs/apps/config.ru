# Rack: /ms/N answers after N ms, /stream/N sends N parts, one each half second.
raise "this code is broken" if File.exist?(ENV.fetch("STAGE") + "/broken")

class Parts
  def initialize(number) = @number = number

  def each
    @number.times do
      yield "part\n"
      sleep 0.5
    end
    yield "end\n"
  end
end

run(lambda do |env|
  what, number = env["PATH_INFO"].split("/").reject(&:empty?)
  env["rack.input"]&.read
  return_stream = what == "stream"
  next [200, { "Content-Type" => "text/plain" }, Parts.new(number.to_i)] if return_stream
  sleep(number.to_i / 1000.0)
  body = ENV["WORKER_ID"] || "?"
  [200, { "Content-Type" => "text/plain", "Content-Length" => body.bytesize.to_s }, [body]]
end)
