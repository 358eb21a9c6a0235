-- Quarto loads two scripts from another host on each page that shows HTML, for widgets that this book does not use.

for name in (os.getenv("QUARTO_PROJECT_OUTPUT_FILES") or ""):gmatch("[^\r\n]+") do
  local file = name:match("%.html$") and io.open(name, "rb")
  if file then
    local text = file:read("a")
    file:close()
    local count
    text, count = text:gsub('<script src="https://cdn%.jsdelivr%.net/npm/[^"]*"[^>]*></script>%s*', "")
    text = text:gsub("<script type=\"application/javascript\">define%('jquery'.-</script>%s*", "")
    if count > 0 then
      file = assert(io.open(name, "wb"))
      file:write(text)
      file:close()
    end
  end
end
